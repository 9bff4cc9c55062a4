#include <google/protobuf/util/json_util.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/client/verbose.h"
#include "cli/commands/commands.h"
#include "cli/commands/life.h"
#include "cli/commands/targets.h"
#include "cli/names/inventory.h"
#include "cri/api/operator_annotations.h"

namespace crisp::cli {
namespace {

namespace v1 = ::runtime::v1;

constexpr int64_t kDefaultTimeout = 10;
constexpr int64_t kMaxTimeout = 24 * 3600;

struct Flags {
  std::vector<std::string> targets;
  int64_t timeout = kDefaultTimeout;
};

// The configuration with which something was made, from the daemon's verbose document.
template <typename Config, typename Reply>
absl::StatusOr<Config> ConfigOf(const Reply& reply) {
  CRISP_ASSIGN_OR_RETURN(const Json json, VerboseInfo(reply));
  CRISP_ASSIGN_OR_RETURN(const Json* config, JsonObject(json, "config"));
  if (config->empty()) return absl::InternalError("the daemon tells no configuration");
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  Config message;
  const auto parsed =
      google::protobuf::util::JsonStringToMessage(DumpJson(*config), &message, options);
  if (!parsed.ok()) {
    return absl::InternalError(
        absl::StrCat("the daemon's configuration: ", std::string(parsed.message())));
  }
  return message;
}

// What a next attempt of the container is made with.
absl::StatusOr<v1::CreateContainerRequest> NextAttempt(const ContainerEntry& entry,
                                                       Client& client) {
  v1::ContainerStatusRequest container;
  container.set_container_id(entry.container.id());
  container.set_verbose(true);
  CRISP_ASSIGN_OR_RETURN(const auto status,
                         client.Call(&Client::Runtime::ContainerStatus, container));
  v1::PodSandboxStatusRequest pod;
  pod.set_pod_sandbox_id(entry.container.pod_sandbox_id());
  pod.set_verbose(true);
  CRISP_ASSIGN_OR_RETURN(const auto pod_status,
                         client.Call(&Client::Runtime::PodSandboxStatus, pod));
  v1::CreateContainerRequest next;
  next.set_pod_sandbox_id(entry.container.pod_sandbox_id());
  CRISP_ASSIGN_OR_RETURN(*next.mutable_config(), ConfigOf<v1::ContainerConfig>(status));
  CRISP_ASSIGN_OR_RETURN(*next.mutable_sandbox_config(),
                         ConfigOf<v1::PodSandboxConfig>(pod_status));
  v1::ContainerMetadata& metadata = *next.mutable_config()->mutable_metadata();
  metadata.set_attempt(metadata.attempt() + 1);
  return next;
}

absl::Status Check(const ContainerEntry& entry) {
  if (!entry.pod.of_run()) {
    return absl::FailedPreconditionError(absl::StrCat(
        entry.name(), " is the kubelet's: `crisp stop` ends it, and the kubelet starts it again"));
  }
  if (!entry.pod.ready()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the pod of ", entry.name(), " has ended: crisp run makes another"));
  }
  const auto& annotations = entry.pod.pod.annotations();
  const auto remove = annotations.find(cri::kRemoveOnExitAnnotation);
  if (remove != annotations.end() && remove->second == "true") {
    return absl::FailedPreconditionError(
        absl::StrCat(entry.name(), " was started with --rm: it goes when it stops"));
  }
  return absl::OkStatus();
}

absl::Status RestartOne(const ContainerEntry& entry, int64_t timeout, Client& client) {
  CRISP_RETURN_IF_ERROR(Check(entry));
  // Asked for before it is stopped: afterwards nothing may fail that could have been known.
  CRISP_ASSIGN_OR_RETURN(const v1::CreateContainerRequest next, NextAttempt(entry, client));
  CRISP_RETURN_IF_ERROR(StopContainer(client, entry.container.id(), timeout));
  CRISP_ASSIGN_OR_RETURN(const auto made,
                         client.Call(&Client::Runtime::CreateContainer, next, kSlow));
  v1::StartContainerRequest start;
  start.set_container_id(made.container_id());
  CRISP_RETURN_IF_ERROR(client.Call(&Client::Runtime::StartContainer, start, kSlow).status());
  return RemoveContainer(client, entry.container.id());
}

absl::Status Restart(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(context.client));
  return ForEachTarget(flags.targets, context, [&](const std::string& target) -> absl::Status {
    CRISP_ASSIGN_OR_RETURN(const ContainerEntry entry, inventory.FindContainer(target));
    return RestartOne(entry, flags.timeout, context.client);
  });
}

}  // namespace

void AddRestart(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* restart = commands.Add(
      {.name = "restart",
       .help = "Start containers of crisp run anew",
       .examples = {"crisp restart web"},
       .description =
           "Stops the container and starts another with the same configuration in the same "
           "pod: its address and name stay, its id is new. The writable layer is new as well: "
           "what the old one wrote there is gone, volumes stay."},
      [flags](Context& context) { return Restart(*flags, context); });
  restart
      ->add_option("-t,--time", flags->timeout,
                   "Seconds between the stop signal and SIGKILL (default: 10)")
      ->type_name("SECONDS")
      ->check(CLI::Range(int64_t{0}, kMaxTimeout));
  restart->add_option("CONTAINER", flags->targets, "Names or ids")->required();
}

}  // namespace crisp::cli
