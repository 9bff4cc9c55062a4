#include "runtime/client/spare_shims.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/id.h"
#include "base/status.h"
#include "runtime/client/shim_link.h"

namespace crisp::runtime {
namespace {

constexpr absl::Duration kSpareTime = absl::Milliseconds(100);  // for a broker that does not read
constexpr absl::Duration kReadyTime = absl::Milliseconds(100);  // for spares that are starting
constexpr absl::Duration kReadyPause = absl::Milliseconds(2);

}  // namespace

absl::StatusOr<SocketPair> MakeShimSockets() {
  return MakeSocketPair("the shim's socket", SOCK_SEQPACKET);
}

SpareShims::Taken SpareShims::Take(Networks networks) {
  using State = Spare::State;
  absl::MutexLock lock(&mutex_);
  auto found = spares_.end();
  for (auto it = spares_.begin(); it != spares_.end(); ++it) {
    const State state = (*it)->state;
    if (state == State::kPrepared && networks == Networks::kPrepared) {
      found = it;
      break;
    }
    const bool plain = state == State::kStarting || state == State::kReady;
    if (plain && found == spares_.end()) found = it;
  }
  if (found == spares_.end()) return {};
  const std::shared_ptr<Spare> spare = *found;
  spares_.erase(found);
  return {.socket = std::move(spare->socket),
          .prepared_key = spare->state == State::kPrepared ? spare->key : ""};
}

bool SpareShims::Order() {
  absl::MutexLock lock(&mutex_);
  if (spares_.size() + ordered_ >= wanted_) return false;
  ++ordered_;
  return true;
}

// One that is taken before it is done takes its plan when it is.
void SpareShims::Add() {
  while (Order()) {
    absl::StatusOr<SocketPair> pair = MakeShimSockets();
    absl::StatusOr<std::string> usual = broker_->Encode(usual_);
    // A broker that is busy is no reason for pods to wait for the mutex.
    const bool started =
        pair.ok() && usual.ok() &&
        broker_
            ->StartSpare(*std::move(usual), pair->theirs.get(), Operation(absl::Now() + kSpareTime))
            .ok();
    auto spare = std::make_shared<Spare>();
    spare->key = GenerateId();
    absl::MutexLock lock(&mutex_);
    --ordered_;
    if (!started) return;  // the next pod that starts a shim instead says why
    spare->socket = std::move(pair->ours);
    spares_.push_back(std::move(spare));
  }
}

bool SpareShims::ReceiveReady(Spare& spare) {
  absl::StatusOr<WireMessage> message = ReceiveMessage(spare.socket.get());
  if (absl::IsNotFound(message.status())) return true;
  if (!message.ok() || message->type != MessageType::kSpareReady || message->fds.size() != 2) {
    return false;
  }
  spare.netns = std::move(message->fds[0]);
  spare.rtnl = std::move(message->fds[1]);
  spare.state = Spare::State::kReady;
  return true;
}

std::shared_ptr<SpareShims::Spare> SpareShims::NextReady(bool* starting) {
  using State = Spare::State;
  *starting = false;
  absl::MutexLock lock(&mutex_);
  std::erase_if(spares_, [](const std::shared_ptr<Spare>& spare) {
    return spare->state == State::kStarting && !ReceiveReady(*spare);
  });
  for (const std::shared_ptr<Spare>& spare : spares_) {
    if (spare->state == State::kStarting) *starting = true;
    if (spare->state != State::kReady) continue;
    spare->state = State::kPreparing;
    return spare;
  }
  return nullptr;
}

absl::Status SpareShims::Prepare(const PrepareNetwork& prepare) {
  const absl::Time end = absl::Now() + kReadyTime;
  while (true) {
    bool starting = false;
    const std::shared_ptr<Spare> spare = NextReady(&starting);
    if (spare == nullptr && !starting) return absl::OkStatus();
    if (spare == nullptr && absl::Now() > end) {
      return absl::DeadlineExceededError("spare shims are still starting");
    }
    if (spare == nullptr) {
      absl::SleepFor(kReadyPause);
      continue;
    }
    const absl::Status status = prepare(spare->key, spare->netns.get(), spare->rtnl.get());
    UniqueFd netns, rtnl;  // closed without the mutex
    absl::MutexLock lock(&mutex_);
    if (!status.ok()) {
      spare->state = Spare::State::kReady;
      return status;
    }
    netns = std::move(spare->netns);
    rtnl = std::move(spare->rtnl);
    spare->state = Spare::State::kPrepared;
  }
}

}  // namespace crisp::runtime
