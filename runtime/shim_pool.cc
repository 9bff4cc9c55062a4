#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/shim_client.h"
#include "runtime/shim_link.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

namespace crisp::runtime {
namespace {

constexpr absl::Duration kShutdownWait = absl::Seconds(10);

struct Answer {
  absl::Status status;
  std::string rest;
  std::vector<UniqueFd> fds;
};

// A request whose answer is awaited. Outlives the caller that gave up.
struct Pending {
  bool done = false;  // guarded by the connection's mutex, as is `answer`
  Answer answer;
};

bool Readable(int fd, absl::Duration wait) {
  pollfd poll_fd = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&poll_fd, 1, static_cast<int>(absl::ToInt64Milliseconds(wait))) > 0;
}

class ShimImpl final : public Shim {
 public:
  ShimImpl(std::string pod_id, UniqueFd socket)
      : pod_id_(std::move(pod_id)), socket_(std::move(socket)) {}

  pid_t pid() const override { return pid_; }
  int netns_fd() const override { return netns_.get(); }
  int rtnl_fd() const override { return rtnl_.get(); }
  int userns_fd() const override { return userns_.get(); }

  absl::Status CreateContainer(const ContainerPlan& plan, const Cancel& cancel) override {
    return Annotate(Call(MessageType::kCreate, EncodePlan(plan), {}, 0, cancel).status,
                    absl::StrCat("create container ", plan.container_id));
  }
  absl::StatusOr<StartedProcess> StartContainer(absl::string_view id,
                                                const Cancel& cancel) override {
    return Started(CallId(MessageType::kStart, id, cancel), absl::StrCat("start container ", id));
  }
  absl::Status Signal(absl::string_view id, int signal) override {
    return Call(MessageType::kSignal, PayloadWriter().String(id).Number<int32_t>(signal).Take(), {},
                0, Cancel())
        .status;
  }
  absl::Status RemoveContainer(absl::string_view id) override {
    return CallId(MessageType::kRemove, id, Cancel()).status;
  }
  absl::Status ReopenLog(absl::string_view id) override {
    return CallId(MessageType::kReopenLog, id, Cancel()).status;
  }
  absl::StatusOr<StartedProcess> Exec(const ExecPlan& plan,
                                      const Stdio& stdio,
                                      const Cancel& cancel) override {
    uint32_t flags = 0;
    const std::vector<int> fds = Borrow(stdio, &flags);
    return Started(Call(MessageType::kExec, EncodePlan(plan), fds, flags, cancel),
                   absl::StrCat("exec in container ", plan.container_id));
  }
  absl::Status KillExec(absl::string_view id) override {
    return CallId(MessageType::kKillExec, id, Cancel()).status;
  }
  absl::Status Attach(absl::string_view id, const Stdio& stdio) override {
    uint32_t flags = 0;
    const std::vector<int> fds = Borrow(stdio, &flags);
    return Call(MessageType::kAttach, PayloadWriter().String(id).Take(), fds, flags, Cancel())
        .status;
  }
  absl::Status ResizeTerminal(absl::string_view id,
                              absl::string_view exec_id,
                              uint16_t rows,
                              uint16_t columns) override {
    return Call(MessageType::kResize,
                PayloadWriter().String(id).String(exec_id).Number(rows).Number(columns).Take(), {},
                0, Cancel())
        .status;
  }
  absl::StatusOr<std::vector<ContainerReport>> Report() override {
    const Answer answer = Call(MessageType::kReport, "", {}, 0, Cancel());
    CRISP_RETURN_IF_ERROR(answer.status);
    return ParseReport(answer.rest);
  }
  absl::Status Shutdown() override;

  // The first exchange. Awaits the answer to a request that went to the broker, or asks now.
  absl::Status GreetStarted(uint64_t request_id,
                            const std::shared_ptr<Pending>& pending,
                            const Cancel& cancel) {
    return Greet(Await(request_id, pending, cancel));
  }
  absl::Status GreetAdopted(const Cancel& cancel) {
    return Greet(Call(MessageType::kHello, "", {}, 0, cancel));
  }
  std::shared_ptr<Pending> Expect(uint64_t* request_id);

  // From the poll thread. False when the connection has ended.
  bool Receive(ShimObserver* observer);
  void FailAll();
  int socket() const { return socket_.get(); }
  int pidfd() const { return pidfd_.get(); }
  const std::string& pod_id() const { return pod_id_; }
  // Whether its death is news.
  bool watched() const { return greeted_ && !shutting_down_; }

 private:
  absl::Status Greet(Answer answer);
  Answer Call(MessageType type,
              std::string payload,
              const std::vector<int>& fds,
              uint32_t flags,
              const Cancel& cancel);
  Answer CallId(MessageType type, absl::string_view id, const Cancel& cancel) {
    return Call(type, PayloadWriter().String(id).Take(), {}, 0, cancel);
  }
  Answer Await(uint64_t request_id, const std::shared_ptr<Pending>& pending, const Cancel& cancel);
  static std::vector<int> Borrow(const Stdio& stdio, uint32_t* flags);
  static absl::StatusOr<StartedProcess> Started(Answer answer, absl::string_view what);

  const std::string pod_id_;
  const UniqueFd socket_;
  UniqueFd netns_, rtnl_, userns_, pidfd_;  // set once, by Greet()
  pid_t pid_ = 0;
  std::atomic<bool> greeted_{false}, shutting_down_{false};
  absl::Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t last_request_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<uint64_t, std::shared_ptr<Pending>> pending_ ABSL_GUARDED_BY(mutex_);
};

std::vector<int> ShimImpl::Borrow(const Stdio& stdio, uint32_t* flags) {
  std::vector<int> fds;
  const std::pair<int, uint32_t> all[] = {
      {stdio.stdin_fd, kStdinFd}, {stdio.stdout_fd, kStdoutFd}, {stdio.stderr_fd, kStderrFd}};
  for (const auto& [fd, flag] : all) {
    if (fd < 0) continue;
    fds.push_back(fd);
    *flags |= flag;
  }
  return fds;
}

absl::StatusOr<StartedProcess> ShimImpl::Started(Answer answer, absl::string_view what) {
  CRISP_RETURN_IF_ERROR(Annotate(answer.status, what));
  CRISP_ASSIGN_OR_RETURN(const StartReply reply, ParseStart(answer.rest));
  StartedProcess process = {.pid = reply.pid, .pidfd = UniqueFd(), .started_at = reply.started_at};
  if (!answer.fds.empty()) process.pidfd = std::move(answer.fds[0]);
  return process;
}

std::shared_ptr<Pending> ShimImpl::Expect(uint64_t* request_id) {
  auto pending = std::make_shared<Pending>();
  absl::MutexLock lock(&mutex_);
  *request_id = ++last_request_;
  if (ended_) {
    pending->done = true;
    pending->answer.status =
        absl::UnavailableError(absl::StrCat("the shim of pod ", pod_id_, " has gone"));
  } else {
    pending_[*request_id] = pending;
  }
  return pending;
}

Answer ShimImpl::Call(MessageType type,
                      std::string payload,
                      const std::vector<int>& fds,
                      uint32_t flags,
                      const Cancel& cancel) {
  uint64_t request_id = 0;
  const std::shared_ptr<Pending> pending = Expect(&request_id);
  WireMessage message;
  message.type = type;
  message.request_id = request_id;
  message.flags = flags;
  message.payload = std::move(payload);
  const absl::Status sent = SendMessage(socket_.get(), message, fds, cancel);
  if (!sent.ok()) {
    absl::MutexLock lock(&mutex_);
    pending_.erase(request_id);
    return Answer{.status = sent, .rest = "", .fds = {}};
  }
  return Await(request_id, pending, cancel);
}

Answer ShimImpl::Await(uint64_t request_id,
                       const std::shared_ptr<Pending>& pending,
                       const Cancel& cancel) {
  absl::MutexLock lock(&mutex_);
  // A client's cancellation has no event to wait for: look at it between short waits.
  while (!mutex_.AwaitWithTimeout(absl::Condition(&pending->done), absl::Milliseconds(50))) {
    const absl::Status status = cancel.Check("wait for the shim");
    if (!status.ok()) {
      pending_.erase(request_id);
      return Answer{.status = status, .rest = "", .fds = {}};
    }
  }
  return std::move(pending->answer);
}

absl::Status ShimImpl::Greet(Answer answer) {
  CRISP_RETURN_IF_ERROR(answer.status);
  CRISP_ASSIGN_OR_RETURN(const HelloReply hello, ParseHello(answer.rest));
  if (hello.pod_id != pod_id_) {
    return absl::NotFoundError(
        absl::StrCat("the shim in the directory of pod ", pod_id_, " is of pod ", hello.pod_id));
  }
  pid_ = hello.pid;
  size_t next = 0;
  UniqueFd* const slots[] = {&netns_, &rtnl_, &userns_, &pidfd_};
  for (int i = 0; i < 4; ++i) {
    if ((hello.fds >> i & 1) == 0) continue;
    if (next == answer.fds.size()) return absl::InternalError("greeting without its descriptors");
    *slots[i] = std::move(answer.fds[next++]);
  }
  if (!pidfd_) return absl::InternalError("greeting without a pidfd");
  greeted_ = true;
  absl::MutexLock lock(&mutex_);
  if (ended_) return absl::UnavailableError(absl::StrCat("the shim of pod ", pod_id_, " ended"));
  return absl::OkStatus();
}

bool ShimImpl::Receive(ShimObserver* observer) {
  absl::StatusOr<WireMessage> message = ReceiveMessage(socket_.get());
  if (absl::IsNotFound(message.status())) return true;
  if (!message.ok()) return false;
  if (message->type == MessageType::kContainerExit || message->type == MessageType::kExecExit) {
    const absl::StatusOr<ExitEvent> event = ParseExitEvent(message->payload);
    if (!event.ok()) return false;
    if (message->type == MessageType::kContainerExit) {
      observer->OnContainerExit(pod_id_, event->id, event->record);
    } else {
      observer->OnExecExit(pod_id_, event->id, event->record);
    }
    return true;
  }
  absl::StatusOr<ReplyStatus> reply = ParseReply(message->payload);
  absl::MutexLock lock(&mutex_);
  auto it = pending_.find(message->request_id);
  if (it == pending_.end()) return true;  // whoever asked gave up
  Pending& pending = *it->second;
  pending.answer.status = reply.ok() ? reply->status : reply.status();
  if (reply.ok()) pending.answer.rest.assign(reply->rest.data(), reply->rest.size());
  pending.answer.fds = std::move(message->fds);
  pending.done = true;
  pending_.erase(it);
  return true;
}

void ShimImpl::FailAll() {
  absl::MutexLock lock(&mutex_);
  ended_ = true;
  for (auto& [id, pending] : pending_) {
    pending->answer.status =
        absl::UnavailableError(absl::StrCat("the shim of pod ", pod_id_, " has gone"));
    pending->done = true;
  }
  pending_.clear();
}

absl::Status ShimImpl::Shutdown() {
  if (Readable(pidfd_.get(), absl::ZeroDuration())) return absl::OkStatus();
  shutting_down_ = true;
  const absl::Status status = Call(MessageType::kShutdown, "", {}, 0, Cancel()).status;
  // Unavailable may mean that it ended while answering; only the process can say.
  if (!status.ok() && !absl::IsUnavailable(status)) {
    shutting_down_ = false;
    return status;
  }
  if (Readable(pidfd_.get(), status.ok() ? kShutdownWait : absl::Milliseconds(200))) {
    return absl::OkStatus();
  }
  shutting_down_ = false;
  return status.ok() ? absl::DeadlineExceededError(
                           absl::StrCat("the shim of pod ", pod_id_, " does not end"))
                     : status;
}

// Starts shims through one broker process that runs from a sealed copy of the binary.
class Broker {
 public:
  explicit Broker(std::string storage_root) : storage_root_(std::move(storage_root)) {}
  ~Broker() {
    absl::MutexLock lock(&mutex_);
    Stop();
  }

  absl::Status Load(const std::string& binary);
  // Hands `control` to a new shim. Starts the broker (again) when it is not there.
  absl::Status StartShim(uint64_t request_id, std::string plan, int control, const Cancel& cancel);

 private:
  absl::Status Spawn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Stop() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    socket_.reset();
    if (pid_ > 0) (void)waitpid(pid_, nullptr, 0);  // it ends when its socket closes
    pid_ = 0;
  }

  const std::string storage_root_;
  UniqueFd binary_;
  absl::Mutex mutex_;
  UniqueFd socket_ ABSL_GUARDED_BY(mutex_);
  pid_t pid_ ABSL_GUARDED_BY(mutex_) = 0;
};

absl::Status Broker::Load(const std::string& binary) {
  CRISP_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(binary, 64u << 20));
  binary_.reset(memfd_create("crisp-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));
  if (!binary_) binary_.reset(memfd_create("crisp-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!binary_) return ErrnoError(errno, "create memfd for the shim");
  CRISP_RETURN_IF_ERROR(WriteAll(binary_.get(), bytes, "shim memfd"));
  if (fchmod(binary_.get(), 0500) != 0 ||
      fcntl(binary_.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
          0) {
    return ErrnoError(errno, "seal the shim");
  }
  // Out of the way of the broker's socket, which becomes 3 in the child before the exec.
  binary_.reset(fcntl(binary_.get(), F_DUPFD_CLOEXEC, 10));
  absl::MutexLock lock(&mutex_);
  return Spawn();
}

absl::Status Broker::Spawn() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoError(errno, "make the broker's socket");
  }
  UniqueFd ours(ends[0]);
  // Not 3 itself: a dup onto itself would keep close-on-exec.
  const UniqueFd theirs(fcntl(ends[1], F_DUPFD_CLOEXEC, 10));
  close(ends[1]);
  const std::string path = absl::StrCat("/proc/self/fd/", binary_.get());
  std::string name = "crisp-shim", flag = "--broker", root = storage_root_;
  char* argv[] = {name.data(), flag.data(), root.data(), nullptr};
  char* env[] = {nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), 3);
  posix_spawnattr_init(&attributes);
  sigset_t none, defaults;
  sigemptyset(&none);
  sigfillset(&defaults);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, path.c_str(), &actions, &attributes, argv, env);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return ErrnoError(error, "start the shim broker");
  socket_ = std::move(ours);
  pid_ = pid;
  return absl::OkStatus();
}

absl::Status Broker::StartShim(uint64_t request_id,
                               std::string plan,
                               int control,
                               const Cancel& cancel) {
  WireMessage message;
  message.type = MessageType::kStartPod;
  message.request_id = request_id;
  message.payload = std::move(plan);
  absl::MutexLock lock(&mutex_);
  absl::Status status = absl::UnavailableError("no broker");
  if (socket_) status = SendMessage(socket_.get(), message, {control}, cancel);
  if (!absl::IsUnavailable(status)) return status;
  Stop();
  CRISP_RETURN_IF_ERROR(Spawn());
  return SendMessage(socket_.get(), message, {control}, cancel);
}

class PoolImpl final : public ShimPool {
 public:
  PoolImpl(std::string storage_root, ShimObserver* observer)
      : observer_(observer), broker_(std::move(storage_root)) {}
  ~PoolImpl() override;

  absl::Status Init(const std::string& binary);
  absl::StatusOr<std::shared_ptr<Shim>> StartPod(const PodPlan& plan,
                                                 const Cancel& cancel) override;
  absl::StatusOr<std::shared_ptr<Shim>> AdoptPod(absl::string_view pod_id,
                                                 const std::string& state_dir,
                                                 const Cancel& cancel) override;

 private:
  absl::Status Watch(const std::shared_ptr<ShimImpl>& shim);
  void Unwatch(const std::shared_ptr<ShimImpl>& shim);
  void Run();
  void HandleReady(uint64_t key);
  void HandleEnd(uint64_t key, const std::shared_ptr<ShimImpl>& shim);

  // Keys of the epoll set: 0 wakes the thread, an even one is a shim's socket, the odd one after it
  // the same shim's pidfd.
  ShimObserver* const observer_;
  Broker broker_;
  UniqueFd epoll_, wake_;
  std::atomic<bool> stopping_{false};
  absl::Mutex mutex_;
  uint64_t next_key_ ABSL_GUARDED_BY(mutex_) = 2;
  absl::flat_hash_map<uint64_t, std::shared_ptr<ShimImpl>> shims_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

absl::Status PoolImpl::Init(const std::string& binary) {
  CRISP_RETURN_IF_ERROR(broker_.Load(binary));
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = 0}};
  if (!epoll_ || !wake_ || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
    return ErrnoError(errno, "make the shims' epoll set");
  }
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

PoolImpl::~PoolImpl() {
  stopping_ = true;
  if (wake_) (void)eventfd_write(wake_.get(), 1);
  if (thread_.joinable()) thread_.join();
  absl::MutexLock lock(&mutex_);
  for (auto& [key, shim] : shims_) shim->FailAll();
}

absl::Status PoolImpl::Watch(const std::shared_ptr<ShimImpl>& shim) {
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

void PoolImpl::Unwatch(const std::shared_ptr<ShimImpl>& shim) {
  absl::MutexLock lock(&mutex_);
  (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, shim->socket(), nullptr);
  for (auto it = shims_.begin(); it != shims_.end(); ++it) {
    if (it->second == shim) {
      shims_.erase(it);
      return;
    }
  }
}

absl::StatusOr<std::shared_ptr<Shim>> PoolImpl::StartPod(const PodPlan& plan,
                                                         const Cancel& cancel) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoError(errno, "make the shim's socket");
  }
  UniqueFd theirs(ends[1]);
  auto shim = std::make_shared<ShimImpl>(plan.pod_id, UniqueFd(ends[0]));
  uint64_t request_id = 0;
  const std::shared_ptr<Pending> pending = shim->Expect(&request_id);
  absl::Status status = broker_.StartShim(request_id, EncodePlan(plan), theirs.get(), cancel);
  theirs.reset();
  if (status.ok()) status = Watch(shim);
  if (status.ok()) status = shim->GreetStarted(request_id, pending, cancel);
  if (!status.ok()) {
    Unwatch(shim);
    return Annotate(status, absl::StrCat("start the shim of pod ", plan.pod_id));
  }
  return shim;
}

absl::StatusOr<std::shared_ptr<Shim>> PoolImpl::AdoptPod(absl::string_view pod_id,
                                                         const std::string& state_dir,
                                                         const Cancel& cancel) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd directory, Open(state_dir, O_PATH | O_DIRECTORY));
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return ErrnoError(errno, "make a socket");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  // The directory's own name may be longer than an address holds.
  const std::string path = absl::StrCat("/proc/self/fd/", directory.get(), "/", kShimSocketName);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) {
      return absl::NotFoundError(absl::StrCat("no shim is alive in ", state_dir));
    }
    return ErrnoError(errno, absl::StrCat("connect to the shim in ", state_dir));
  }
  auto shim = std::make_shared<ShimImpl>(std::string(pod_id), std::move(socket));
  CRISP_RETURN_IF_ERROR(Watch(shim));
  const absl::Status status = shim->GreetAdopted(cancel);
  if (!status.ok()) {
    Unwatch(shim);
    return Annotate(status, absl::StrCat("adopt the shim of pod ", pod_id));
  }
  return shim;
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
  std::shared_ptr<ShimImpl> shim;
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

// The connection has ended. Another daemon may have taken the shim over: only its process tells
// that it died.
void PoolImpl::HandleEnd(uint64_t key, const std::shared_ptr<ShimImpl>& shim) {
  (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, shim->socket(), nullptr);
  const bool watched = shim->watched();
  shim->FailAll();
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = key | 1}};
  if (watched && epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, shim->pidfd(), &event) == 0) return;
  absl::MutexLock lock(&mutex_);
  shims_.erase(key);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ShimPool>> ShimPool::Create(ShimPoolOptions options,
                                                           ShimObserver* observer) {
  while (options.storage_root.size() > 1 && options.storage_root.back() == '/') {
    options.storage_root.pop_back();
  }
  auto pool = std::make_unique<PoolImpl>(options.storage_root, observer);
  CRISP_RETURN_IF_ERROR(
      Annotate(pool->Init(options.shim_binary), absl::StrCat("shims from ", options.shim_binary)));
  return pool;
}

}  // namespace crisp::runtime
