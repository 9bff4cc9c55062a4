#include "runtime/client/testing/shim_test_pod.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"

#ifndef CRISP_SHIM_BINARY
#error "the build says where the shim is"
#endif

namespace crisp::runtime {

namespace {

// Far beyond what anything takes, whatever else the machine does.
constexpr absl::Duration kPatience = absl::Minutes(3);

// What this process may give away.
uint64_t AllCaps() {
  const std::string status = ReadFile("/proc/self/status").value_or("");
  const size_t at = status.find("CapPrm:\t");
  return at == std::string::npos ? 0 : std::stoull(status.substr(at + 8, 16), nullptr, 16);
}
}  // namespace

std::vector<pid_t> ChildrenOf(pid_t pid) {
  const std::string text =
      ReadFile(absl::StrCat("/proc/", pid, "/task/", pid, "/children")).value_or("");
  std::vector<pid_t> pids;
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    int child = 0;
    if (absl::SimpleAtoi(word, &child)) pids.push_back(child);
  }
  return pids;
}

std::string CommOf(pid_t pid) {
  const std::string comm = ReadFile(absl::StrCat("/proc/", pid, "/comm")).value_or("");
  return comm.substr(0, comm.find('\n'));
}

char StateOf(pid_t pid) {
  const std::string stat = ReadFile(absl::StrCat("/proc/", pid, "/stat")).value_or("");
  const size_t name = stat.rfind(") ");
  return name == std::string::npos || name + 2 >= stat.size() ? '\0' : stat[name + 2];
}

bool Gone(pid_t pid) {
  return Eventually([pid] { return kill(pid, 0) != 0; });
}

constexpr uint64_t kMountRdonly = 1, kNoSuid = 2, kNoDev = 4, kNoExec = 8;

void RecordingObserver::OnContainerExit(absl::string_view,
                                        absl::string_view id,
                                        const ExitRecord& record) {
  absl::MutexLock lock(&mutex_);
  containers_[std::string(id)] = record;
}
void RecordingObserver::OnExecExit(absl::string_view,
                                   absl::string_view id,
                                   const ExitRecord& record) {
  absl::MutexLock lock(&mutex_);
  execs_[std::string(id)] = record;
}
void RecordingObserver::OnShimDeath(absl::string_view pod) {
  absl::MutexLock lock(&mutex_);
  deaths_[std::string(pod)] = ExitRecord{};
}

ExitRecord RecordingObserver::Wait(absl::flat_hash_map<std::string, ExitRecord>* map,
                                   const std::string& id) {
  absl::MutexLock lock(&mutex_);
  auto there = [map, &id] { return map->contains(id); };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience)) {
    return ExitRecord{.exit_code = -1};
  }
  return (*map)[id];
}
ExitRecord RecordingObserver::WaitContainer(const std::string& id) {
  return Wait(&containers_, id);
}
ExitRecord RecordingObserver::WaitExec(const std::string& id) { return Wait(&execs_, id); }
bool RecordingObserver::HasExec(const std::string& id) {
  absl::MutexLock lock(&mutex_);
  return execs_.contains(id);
}
bool RecordingObserver::WaitDeath(const std::string& pod) {
  return Wait(&deaths_, pod).exit_code == 0;
}

void ShimTest::SetUp() {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  storage_ = absl::StrCat(dir_.path(), "/storage");
  run_ = absl::StrCat(dir_.path(), "/run");
  ASSERT_OK(MakeDirs(run_));
  ASSERT_EQ(mount("crisp-shim-test", run_.c_str(), "tmpfs", 0, "mode=755"), 0);
  busybox_layer_ = MakeBusybox("busybox");
  StartPool();
}

ShimTest::~ShimTest() {
  // Log writers of the pod may not have ended yet.
  if (!run_.empty()) (void)umount2(run_.c_str(), MNT_DETACH);
}

std::string ShimTest::MakeBusybox(const std::string& name) {
  const std::string layer = MakeDir(name);
  for (const char* sub : {"bin", "proc", "dev", "sys", "etc", "tmp"}) {
    EXPECT_OK(MakeDirs(absl::StrCat(layer, "/", sub)));
  }
  const std::string busybox = ReadFile("/usr/bin/busybox").value_or("");
  EXPECT_OK(AtomicWriteFile(absl::StrCat(layer, "/bin/busybox"), busybox, 0755, Durability::kNone));
  for (const char* tool :
       {"sh",       "cat",  "echo", "sleep", "id",    "ls",     "readlink", "stat",
        "hostname", "head", "dd",   "tr",    "mkdir", "touch",  "mount",    "env",
        "pwd",      "kill", "stty", "grep",  "wc",    "umount", "setsid",   "tty",
        "true",     "seq",  "test", "chmod", "ps",    "yes",    "cut",      "sort"}) {
    EXPECT_EQ(symlink("busybox", absl::StrCat(layer, "/bin/", tool).c_str()), 0);
  }
  return layer;
}

void ShimTest::StartPool() {
  ASSERT_OK_AND_ASSIGN(
      pool_,
      ShimPool::Create({.shim_binary = CRISP_SHIM_BINARY, .storage_root = storage_}, &observer_));
}

void ShimTest::TearDown() {
  if (shim_ == nullptr) return;
  for (const std::string& id : containers_) {
    (void)shim_->Signal(id, SIGKILL);
  }
  EXPECT_TRUE(Eventually([this] {
    const absl::Status status = shim_->Shutdown();
    return status.ok() || absl::IsUnavailable(status);
  }));
}

std::string ShimTest::MakeDir(const std::string& name) {
  const std::string path = absl::StrCat(storage_, "/", name);
  EXPECT_OK(MakeDirs(path));
  return path;
}

PodPlan ShimTest::MakePod() {
  PodPlan plan;
  plan.pod_id = absl::StrCat("pod", ++count_);
  plan.hostname = "testpod";
  plan.state_dir = absl::StrCat(run_, "/state-", plan.pod_id);
  EXPECT_OK(MakeDirs(plan.state_dir, 0700));
  return plan;
}

void ShimTest::StartPod(const PodPlan& plan) {
  absl::StatusOr<std::shared_ptr<Shim>> shim = pool_->StartPod(plan, Operation());
  ASSERT_OK(shim);
  shim_ = *shim;
}

ProcessPlan ShimTest::MakeProcess(const std::string& script) {
  ProcessPlan process;
  process.argv = {"sh", "-c", script};
  process.env = {"PATH=/bin"};
  process.cap_bounding = process.cap_effective = process.cap_permitted = AllCaps();
  return process;
}

ContainerPlan ShimTest::MakeContainer(const std::string& script) {
  ContainerPlan plan;
  plan.container_id = absl::StrCat("c", ++count_);
  plan.process = MakeProcess(script);
  plan.lower_dirs = {busybox_layer_};
  plan.upper_dir = MakeDir(plan.container_id + "/upper");
  plan.work_dir = MakeDir(plan.container_id + "/work");
  const uint64_t safe = kNoSuid | kNoDev | kNoExec;
  plan.mounts = {
      {.kind = MountKind::kFs,
       .destination = "/proc",
       .source = "proc",
       .type = "proc",
       .attributes = safe},
      {.kind = MountKind::kDev,
       .destination = "/dev",
       .options = {"mode=755", "size=65536k"},
       .attributes = kNoSuid},
      {.kind = MountKind::kFs,
       .destination = "/dev/pts",
       .type = "devpts",
       .options = {"newinstance", "ptmxmode=0666", "mode=0620", "gid=5"},
       .attributes = kNoSuid | kNoExec},
      {.kind = MountKind::kFs, .destination = "/dev/mqueue", .type = "mqueue", .attributes = safe},
      {.kind = MountKind::kFs,
       .destination = "/sys",
       .type = "sysfs",
       .attributes = safe | kMountRdonly},
      {.kind = MountKind::kBind,
       .destination = "/dev/shm",
       .source = "pod:shm",
       .attributes = safe}};
  plan.devices = {{.path = "/dev/null", .major = 1, .minor = 3},
                  {.path = "/dev/zero", .major = 1, .minor = 5},
                  {.path = "/dev/full", .major = 1, .minor = 7},
                  {.path = "/dev/tty", .major = 5, .minor = 0},
                  {.path = "/dev/random", .major = 1, .minor = 8},
                  {.path = "/dev/urandom", .major = 1, .minor = 9}};
  plan.masked_paths = {"/proc/version", "/proc/acpi", "/proc/no-such-thing", "/sys/firmware"};
  plan.readonly_paths = {"/proc/sys", "/proc/bus"};
  plan.log_path = absl::StrCat(run_, "/", plan.container_id, ".log");
  plan.exit_record = absl::StrCat(run_, "/", plan.container_id, ".exit");
  containers_.push_back(plan.container_id);
  return plan;
}

std::string ShimTest::LogOf(const ContainerPlan& plan, bool raw) {
  absl::StatusOr<std::string> text = ReadFile(plan.log_path);
  EXPECT_OK(text);
  if (!text.ok()) return "";
  text->resize(text->rfind('\n') + 1);
  if (raw) return *text;
  std::string out;
  for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    const size_t at = line.find(' ', line.find(' ') + 1);
    out += std::string(line.substr(at + 3));
    if (line[at + 1] == 'F') out += '\n';
  }
  return out;
}

bool ShimTest::AwaitLog(const ContainerPlan& plan, const std::string& text) {
  return Eventually([&] { return absl::StrContains(LogOf(plan), text); });
}

std::string ShimTest::Run(const ContainerPlan& plan, int expected_exit) {
  absl::Status created = shim_->CreateContainer(plan, Operation());
  EXPECT_OK(created);
  if (!created.ok()) return "";
  absl::StatusOr<StartedProcess> started = shim_->StartContainer(plan.container_id, Operation());
  EXPECT_OK(started);
  if (!started.ok()) return "";
  EXPECT_GT(started->pid, 0);
  EXPECT_TRUE(started->pidfd.valid());
  const ExitRecord record = observer_.WaitContainer(plan.container_id);
  const std::string log = LogOf(plan);
  EXPECT_EQ(record.exit_code, expected_exit) << log;
  return log;
}

ExecPlan ShimTest::MakeExec(const std::string& container_id, const std::string& script) {
  ExecPlan plan;
  plan.exec_id = absl::StrCat("e", ++count_);
  plan.container_id = container_id;
  plan.process = MakeProcess(script);
  return plan;
}

std::string ShimTest::RunExec(const ExecPlan& plan, int expected_exit) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd reader(ends[0]), writer(ends[1]);
  absl::StatusOr<StartedProcess> started =
      shim_->Exec(plan, {.stdout_fd = writer.get(), .stderr_fd = writer.get()}, Operation());
  EXPECT_OK(started);
  if (!started.ok()) return "";
  writer.reset();
  absl::StatusOr<std::string> out = ReadFd(reader.get(), "exec output");
  EXPECT_EQ(observer_.WaitExec(plan.exec_id).exit_code, expected_exit) << out.value_or("");
  return out.value_or("");
}

}  // namespace crisp::runtime
