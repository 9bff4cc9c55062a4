#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "base/thread.h"
#include "runtime/client/shim_broker.h"
#include "runtime/client/shim_client.h"
#include "runtime/client/shim_connection.h"
#include "runtime/client/shim_finder.h"
#include "runtime/client/shim_link.h"
#include "runtime/client/spare_shims.h"

namespace crisp::runtime {
namespace {

// With whatever values.
bool HasSysctlsOf(const PodPlan& usual, const PodPlan& plan) {
  return std::all_of(usual.sysctls.begin(), usual.sysctls.end(), [&](const auto& one) {
    return std::any_of(plan.sysctls.begin(), plan.sysctls.end(),
                       [&](const auto& other) { return other.first == one.first; });
  });
}

// Of a pod's state directory: the directory of all pods, the pod's id.
std::pair<std::string, std::string> Split(const std::string& state_dir) {
  const size_t slash = state_dir.rfind('/');
  return {state_dir.substr(0, slash), state_dir.substr(slash + 1)};
}

// Without a socket the shim may live all the same. NotFound when it does not.
absl::Status NoSocket(const std::string& state_dir) {
  const auto [pods, pod_id] = Split(state_dir);
  CRISP_ASSIGN_OR_RETURN(const std::vector<FoundShim> found, FindShims(pods, pod_id));
  if (found.empty()) return absl::NotFoundError(absl::StrCat("no shim is alive in ", state_dir));
  return absl::FailedPreconditionError(absl::StrCat(
      "the shim in ", state_dir, ", pid ", found[0].pid, ", lives, but its socket is gone"));
}

class PoolImpl final : public ShimPool {
 public:
  PoolImpl(const ShimPoolOptions& options, ShimObserver* observer)
      : observer_(observer),
        broker_(options.storage_root, options.log_rate),
        usual_(options.usual),
        spares_(&broker_, options.spares, options.usual) {}
  ~PoolImpl() override;

  absl::Status Init(const std::string& binary);
  absl::StatusOr<std::shared_ptr<Shim>> StartPod(const PodPlan& plan,
                                                 const Operation& operation,
                                                 const std::function<absl::Status()>& meanwhile,
                                                 bool prepared) override;
  void AddSpares() override { spares_.Add(); }
  absl::Status PrepareSpares(const PrepareNetwork& prepare) override {
    return spares_.Prepare(prepare);
  }
  absl::StatusOr<std::shared_ptr<Shim>> AdoptPod(absl::string_view pod_id,
                                                 const std::string& state_dir,
                                                 const Operation& operation) override;
  absl::Status EndPod(const std::string& state_dir, const Operation& operation) override;

 private:
  // A shim that has been sent its plan.
  struct Launched {
    std::shared_ptr<ShimConnection> shim;
    std::shared_ptr<PendingRequest> greeting;
    uint64_t request_id = 0;
    bool was_spare = false;
  };
  enum class Spares { kNone, kPlain, kPrepared };
  absl::StatusOr<Launched> Launch(const PodPlan& plan, Spares spares, const Operation& operation);
  absl::Status Watch(const std::shared_ptr<ShimConnection>& shim);
  void GiveUp(const std::shared_ptr<ShimConnection>& shim);
  void Unwatch(const std::shared_ptr<ShimConnection>& shim);
  void ForgetFormer(const std::shared_ptr<ShimConnection>& shim);
  void Run();
  void HandleReady(uint64_t key);
  void HandleEnd(uint64_t key, const std::shared_ptr<ShimConnection>& shim);

  // Keys of the epoll set: 0 wakes the thread, an even one is a shim's socket, the odd one after it
  // the same shim's pidfd.
  ShimObserver* const observer_;
  ShimBroker broker_;
  UniqueFd epoll_, wake_;
  std::atomic<bool> stopping_{false};
  absl::Mutex mutex_;
  uint64_t next_key_ ABSL_GUARDED_BY(mutex_) = 2;
  absl::flat_hash_map<uint64_t, std::shared_ptr<ShimConnection>> shims_ ABSL_GUARDED_BY(mutex_);
  const PodPlan usual_;
  SpareShims spares_;
  Thread thread_;
};

absl::Status PoolImpl::Init(const std::string& binary) {
  CRISP_RETURN_IF_ERROR(broker_.Load(binary));
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = 0}};
  if (!epoll_ || !wake_ || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
    return ErrnoError(errno, "make the shims' epoll set");
  }
  CRISP_ASSIGN_OR_RETURN(thread_, Thread::Start("shims", [this] { Run(); }));
  AddSpares();
  return absl::OkStatus();
}

PoolImpl::~PoolImpl() {
  stopping_ = true;
  if (wake_) (void)eventfd_write(wake_.get(), 1);
  thread_.Join();
  absl::MutexLock lock(&mutex_);
  for (auto& [key, shim] : shims_) shim->FailAll();
}

absl::Status PoolImpl::Watch(const std::shared_ptr<ShimConnection>& shim) {
  absl::MutexLock lock(&mutex_);
  const uint64_t key = next_key_;
  next_key_ += 2;
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = key}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, shim->socket(), &event) != 0) {
    return ErrnoError(errno, "watch the shim");
  }
  shims_[key] = shim;
  return absl::OkStatus();
}

void PoolImpl::Unwatch(const std::shared_ptr<ShimConnection>& shim) {
  absl::MutexLock lock(&mutex_);
  (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, shim->socket(), nullptr);
  for (auto it = shims_.begin(); it != shims_.end(); ++it) {
    if (it->second == shim) {
      shims_.erase(it);
      return;
    }
  }
}

// A new shim that is not known to have greeted, and may live. It has no container and does what it
// reads next; where that never comes, it is because the shim has ended or cannot be told.
void PoolImpl::GiveUp(const std::shared_ptr<ShimConnection>& shim) {
  const WireMessage message{.type = MessageType::kShutdown};
  (void)SendMessage(shim->socket(), message, {}, Operation(absl::Now() + absl::Seconds(1)));
  Unwatch(shim);
}

absl::StatusOr<PoolImpl::Launched> PoolImpl::Launch(const PodPlan& plan,
                                                    Spares spares,
                                                    const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const std::string bytes, broker_.Encode(plan));
  Launched launched;
  const auto open = [&](UniqueFd socket, std::string prepared) {
    launched.shim =
        std::make_shared<ShimConnection>(plan.pod_id, std::move(socket), std::move(prepared));
    launched.greeting = launched.shim->Expect(&launched.request_id);
  };
  while (spares != Spares::kNone) {
    SpareShims::Taken taken =
        spares_.Take(spares == Spares::kPrepared ? SpareShims::Networks::kPrepared
                                                 : SpareShims::Networks::kNone);
    if (!taken.socket) break;
    open(std::move(taken.socket), std::move(taken.prepared_key));
    launched.was_spare = true;
    const WireMessage message{
        .type = MessageType::kStartPod, .request_id = launched.request_id, .payload = bytes};
    const absl::Status sent = SendMessage(launched.shim->socket(), message, {}, operation);
    if (sent.ok()) return launched;
    // Unavailable: that spare has died.
    if (!absl::IsUnavailable(sent)) return sent;
  }
  CRISP_ASSIGN_OR_RETURN(SocketPair pair, MakeShimSockets());
  open(std::move(pair.ours), "");
  launched.was_spare = false;
  CRISP_RETURN_IF_ERROR(
      broker_.StartShim(launched.request_id, bytes, pair.theirs.get(), operation));
  return launched;
}

absl::StatusOr<std::shared_ptr<Shim>> PoolImpl::StartPod(
    const PodPlan& plan,
    const Operation& operation,
    const std::function<absl::Status()>& meanwhile,
    bool prepared) {
  const std::string what = absl::StrCat("start the shim of pod ", plan.pod_id);
  const bool ordinary = plan.new_net && plan.new_ipc && plan.new_uts && plan.uid_maps.empty() &&
                        HasSysctlsOf(usual_, plan);
  const Spares spares = !ordinary ? Spares::kNone : prepared ? Spares::kPrepared : Spares::kPlain;
  absl::StatusOr<Launched> launched = Launch(plan, spares, operation);
  if (!launched.ok()) return Annotate(launched.status(), what);
  absl::Status status = Watch(launched->shim);
  absl::Status beside;
  if (status.ok() && meanwhile != nullptr) beside = meanwhile();
  const auto greet = [&] {
    return launched->shim->GreetStarted(launched->request_id, launched->greeting, operation);
  };
  if (status.ok()) status = greet();
  if (absl::IsUnavailable(status) && launched->was_spare) {
    // It died with the plan unread, or its greeting was lost.
    GiveUp(launched->shim);
    launched = Launch(plan, Spares::kNone, operation);
    if (!launched.ok()) return Annotate(launched.status(), what);
    status = Watch(launched->shim);
    if (status.ok()) status = greet();
  }
  if (status.ok() && beside.ok()) return launched->shim;
  if (status.ok()) {
    (void)launched->shim->Shutdown();
    Unwatch(launched->shim);
  } else {
    GiveUp(launched->shim);
  }
  if (!beside.ok()) return beside;
  // A broker that ends takes the plans along that it has not read.
  const absl::Status broker = absl::IsUnavailable(status) ? broker_.CheckAlive() : absl::OkStatus();
  return Annotate(broker.ok() ? status : broker, what);
}

absl::StatusOr<std::shared_ptr<Shim>> PoolImpl::AdoptPod(absl::string_view pod_id,
                                                         const std::string& state_dir,
                                                         const Operation& operation) {
  absl::StatusOr<UniqueFd> opened = Open(state_dir, O_PATH | O_DIRECTORY);
  if (absl::IsNotFound(opened.status())) return NoSocket(state_dir);
  if (!opened.ok()) return opened.status();
  const UniqueFd directory = *std::move(opened);
  // Not to wait for one that accepts nobody.
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return ErrnoError(errno, "make a socket");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  // The directory's own name may be longer than an address holds.
  const std::string path = absl::StrCat("/proc/self/fd/", directory.get(), "/", kShimSocketName);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    const int error = errno;
    if (error == ENOENT) return NoSocket(state_dir);
    // A shim that bound a socket and lives listens on it.
    if (error == ECONNREFUSED) {
      return absl::NotFoundError(absl::StrCat("no shim is alive in ", state_dir));
    }
    return ErrnoError(error, absl::StrCat("connect to the shim in ", state_dir));
  }
  auto shim = std::make_shared<ShimConnection>(std::string(pod_id), std::move(socket));
  CRISP_RETURN_IF_ERROR(Watch(shim));
  const absl::Status status = shim->GreetAdopted(operation);
  if (!status.ok()) {
    Unwatch(shim);
    return Annotate(status, absl::StrCat("adopt the shim of pod ", pod_id));
  }
  ForgetFormer(shim);
  return shim;
}

absl::Status PoolImpl::EndPod(const std::string& state_dir, const Operation& operation) {
  const auto [pods, pod_id] = Split(state_dir);
  return KillShims(pods, pod_id, operation);
}

// Its death is told by the new connection.
void PoolImpl::ForgetFormer(const std::shared_ptr<ShimConnection>& shim) {
  absl::MutexLock lock(&mutex_);
  for (auto it = shims_.begin(); it != shims_.end();) {
    const std::shared_ptr<ShimConnection>& former = it->second;
    if (former == shim || former->pod_id() != shim->pod_id() || former->connected()) {
      ++it;
      continue;
    }
    (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, former->pidfd(), nullptr);
    shims_.erase(it++);
  }
}

void PoolImpl::Run() {
  while (!stopping_) {
    epoll_event events[32];
    const int count = epoll_wait(epoll_.get(), events, 32, -1);
    for (int i = 0; i < count && !stopping_; ++i) {
      if (events[i].data.u64 != 0) HandleReady(events[i].data.u64);
    }
  }
}

void PoolImpl::HandleReady(uint64_t key) {
  std::shared_ptr<ShimConnection> shim;
  {
    absl::MutexLock lock(&mutex_);
    auto it = shims_.find(key & ~uint64_t{1});
    if (it == shims_.end()) return;
    shim = it->second;
  }
  if ((key & 1) == 0) {
    if (!shim->Receive(observer_)) HandleEnd(key, shim);
    return;
  }
  // The process itself has ended.
  (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, shim->pidfd(), nullptr);
  {
    absl::MutexLock lock(&mutex_);
    shims_.erase(key & ~uint64_t{1});
  }
  observer_->OnShimDeath(shim->pod_id());
}

// The connection has ended. Another daemon may have taken the shim over, or the kernel was short of
// memory: only its process tells that it died.
void PoolImpl::HandleEnd(uint64_t key, const std::shared_ptr<ShimConnection>& shim) {
  (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, shim->socket(), nullptr);
  const bool watched = shim->watched();
  shim->FailAll();
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = key | 1}};
  if (watched && epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, shim->pidfd(), &event) == 0) {
    if (shim->alive()) observer_->OnShimLost(shim->pod_id());
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    shims_.erase(key);
  }
  // The next connection attempt learns of its death.
  if (watched) observer_->OnShimLost(shim->pod_id());
}

}  // namespace

absl::StatusOr<std::unique_ptr<ShimPool>> ShimPool::Create(ShimPoolOptions options,
                                                           ShimObserver* observer) {
  while (options.storage_root.size() > 1 && options.storage_root.back() == '/') {
    options.storage_root.pop_back();
  }
  auto pool = std::make_unique<PoolImpl>(options, observer);
  CRISP_RETURN_IF_ERROR(
      Annotate(pool->Init(options.shim_binary), absl::StrCat("shims from ", options.shim_binary)));
  return pool;
}

}  // namespace crisp::runtime
