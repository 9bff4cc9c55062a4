#include "cri/pods/spares.h"

#include "absl/time/clock.h"
#include "base/log.h"

namespace crisp::cri {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(20);
constexpr absl::Duration kStart = absl::Milliseconds(4);
constexpr absl::Duration kRetry = absl::Seconds(1);

}  // namespace

Spares::Spares(const NodeContext& node, ShimKeeper& shims, WorkQueue& background)
    : node_(node),
      shims_(shims),
      background_(background),
      roots_(node.images, &background, node.options.spare_roots, node.layers.mount_points) {}

void Spares::AddSoon() {
  if (adding_.exchange(true)) return;
  background_.PostAt(absl::Now() + kPause, [this] {
    adding_ = false;
    for (const auto& runtime : shims_.handlers().runtimes()) {
      if (runtime->spares() != nullptr) runtime->spares()->Add();
    }
    PrepareSoon();
  });
}

void Spares::PrepareSoon() { PrepareIn(kStart); }

void Spares::PrepareIn(absl::Duration pause) {
  if (!node_.options.attach_spares || preparing_.exchange(true)) return;
  background_.PostAt(absl::Now() + pause, [this] {
    preparing_ = false;
    Prepare();
  });
}

void Spares::Prepare() {
  const auto prepare = [this](const std::string& key, int netns_fd, int rtnl_fd) {
    return node_.network->Prepare(key, netns_fd, rtnl_fd);
  };
  absl::Status prepared;
  for (const auto& runtime : shims_.handlers().runtimes()) {
    if (runtime->spares() != nullptr) prepared.Update(runtime->spares()->Prepare(prepare));
  }
  if (absl::IsDeadlineExceeded(prepared)) return PrepareIn(kRetry);
  if (prepared.ok() || absl::IsFailedPrecondition(prepared)) return;
  LogWarning("pod.spare_network_failed", {{"error", prepared.ToString()}});
}

}  // namespace crisp::cri
