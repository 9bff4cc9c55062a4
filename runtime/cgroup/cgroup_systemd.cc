#include "runtime/cgroup/cgroup_systemd.h"

#include <poll.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"
#include "runtime/cgroup/cgroup_files.h"

namespace crisp::runtime {
namespace {

constexpr char kService[] = "org.freedesktop.systemd1";
constexpr char kPath[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";
constexpr absl::Duration kLongest = absl::Seconds(30);

struct Unref {
  // Not flushed: every call has had its reply, or nobody is there to take what is left.
  void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
  void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
};
using Bus = std::unique_ptr<sd_bus, Unref>;
using Message = std::unique_ptr<sd_bus_message, Unref>;
using Slot = std::unique_ptr<sd_bus_slot, Unref>;

uint64_t Microseconds(const Operation& operation) {
  const absl::Duration left = std::min(operation.remaining(), kLongest);
  return static_cast<uint64_t>(std::max<int64_t>(absl::ToInt64Microseconds(left), 1));
}

absl::Status Failed(absl::string_view what, int result) {
  const std::string text = absl::StrCat("systemd: ", what);
  if (result == -ETIMEDOUT) {
    return absl::DeadlineExceededError(
        absl::StrCat(text, ": no answer in time: does dbus-daemon or systemd hang?"));
  }
  if (result == -EEXIST) return absl::AlreadyExistsError(text);
  return absl::UnavailableError(ErrnoError(-result, text).message());
}

// Waits until sd_bus_process() has something to do, or the operation ends. Negative: an error.
int WaitFor(sd_bus* bus, const CancelEvent& cancelled) {
  const int fd = sd_bus_get_fd(bus), events = sd_bus_get_events(bus);
  uint64_t due = UINT64_MAX;  // in microseconds of the monotonic clock
  const int result = sd_bus_get_timeout(bus, &due);
  if (fd < 0 || events < 0 || result < 0) return std::min({fd, events, result});
  absl::Time until = absl::InfiniteFuture();
  if (due != UINT64_MAX) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    until = absl::Now() + absl::Microseconds(static_cast<int64_t>(due)) -
            absl::DurationFromTimespec(now);
  }
  pollfd waiting = {.fd = fd, .events = static_cast<short>(events), .revents = 0};
  return cancelled.Poll(absl::MakeSpan(&waiting, 1), until) < 0 ? -errno : 0;
}

// A connection whose other side has answered. sd_bus_open_system() only begins one, and the first
// call on it would wait for the rest much longer than it may.
absl::StatusOr<Bus> Connect(const Operation& operation) {
  sd_bus* raw = nullptr;
  int result = sd_bus_open_system(&raw);
  Bus bus(raw);
  if (result < 0) return Failed("connect to the system bus", result);
  const CancelEvent cancelled(operation);
  CRISP_RETURN_IF_ERROR(cancelled.status());
  while ((result = sd_bus_is_ready(bus.get())) == 0) {
    if (operation.remaining() <= absl::ZeroDuration())
      return Failed("connect to the system bus", -ETIMEDOUT);
    CRISP_RETURN_IF_ERROR(operation.Check("systemd: connect to the system bus"));
    result = sd_bus_process(bus.get(), nullptr);
    if (result < 0) break;
    if (result > 0) continue;
    result = WaitFor(bus.get(), cancelled);
    if (result < 0) break;
  }
  if (result < 0) return Failed("connect to the system bus", result);
  result = sd_bus_set_method_call_timeout(bus.get(), Microseconds(operation));
  if (result < 0) return Failed("bound the calls on the system bus", result);
  return bus;
}

// The job that StartTransientUnit made, and how it ended.
struct Job {
  std::string path;
  std::string result;
};

int OnJobRemoved(sd_bus_message* message, void* data, sd_bus_error*) {
  auto* job = static_cast<Job*>(data);
  uint32_t id = 0;
  const char *path = nullptr, *unit = nullptr, *result = nullptr;
  if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) >= 0 && job->path == path) {
    job->result = result;
  }
  return 0;
}

int AppendScope(sd_bus_message* m,
                const std::string& name,
                const std::string& slice,
                const std::vector<int32_t>& pids) {
  int r = sd_bus_message_append(m, "ss", name.c_str(), "fail");
  if (r >= 0) r = sd_bus_message_open_container(m, 'a', "(sv)");
  if (r >= 0) r = sd_bus_message_append(m, "(sv)", "Description", "s", "crisp pod");
  if (r >= 0) r = sd_bus_message_append(m, "(sv)", "Slice", "s", slice.c_str());
  if (r >= 0) r = sd_bus_message_append(m, "(sv)", "Delegate", "b", 1);
  if (r >= 0) r = sd_bus_message_append(m, "(sv)", "DefaultDependencies", "b", 0);
  // The machine's default is meant for one service; a pod's own limits are those of its slice.
  if (r >= 0) r = sd_bus_message_append(m, "(sv)", "TasksMax", "t", UINT64_MAX);
  // A scope that failed must not keep its name from the next one.
  if (r >= 0) r = sd_bus_message_append(m, "(sv)", "CollectMode", "s", "inactive-or-failed");
  if (r >= 0) r = sd_bus_message_open_container(m, 'r', "sv");
  if (r >= 0) r = sd_bus_message_append(m, "s", "PIDs");
  if (r >= 0) r = sd_bus_message_open_container(m, 'v', "au");
  if (r >= 0) r = sd_bus_message_append_array(m, 'u', pids.data(), pids.size() * sizeof(pids[0]));
  if (r >= 0) r = sd_bus_message_close_container(m);
  if (r >= 0) r = sd_bus_message_close_container(m);
  if (r >= 0) r = sd_bus_message_close_container(m);
  if (r >= 0) r = sd_bus_message_append(m, "a(sa(sv))", 0);
  return r;
}

absl::Status AskForScope(sd_bus* bus,
                         const std::string& name,
                         const std::string& slice,
                         const std::vector<int32_t>& pids,
                         const Operation& operation,
                         Job& job) {
  sd_bus_message* raw = nullptr;
  int result =
      sd_bus_message_new_method_call(bus, &raw, kService, kPath, kManager, "StartTransientUnit");
  Message call(raw);
  if (result >= 0) result = AppendScope(call.get(), name, slice, pids);
  if (result < 0) return Failed("build StartTransientUnit", result);
  sd_bus_error error = SD_BUS_ERROR_NULL;
  raw = nullptr;
  result = sd_bus_call(bus, call.get(), Microseconds(operation), &error, &raw);
  Message reply(raw);
  const std::string text = absl::StrCat("start ", name, error.message != nullptr ? ": " : "",
                                        error.message != nullptr ? error.message : "");
  sd_bus_error_free(&error);
  if (result < 0) return Failed(text, result);
  const char* path = nullptr;
  result = sd_bus_message_read(reply.get(), "o", &path);
  if (result < 0) return Failed("read StartTransientUnit's reply", result);
  job.path = path;
  return absl::OkStatus();
}

absl::Status AwaitJob(sd_bus* bus,
                      const std::string& name,
                      const Operation& operation,
                      const Job& job) {
  const CancelEvent cancelled(operation);
  CRISP_RETURN_IF_ERROR(cancelled.status());
  while (job.result.empty()) {
    if (operation.remaining() <= absl::ZeroDuration())
      return Failed(absl::StrCat("start ", name), -ETIMEDOUT);
    CRISP_RETURN_IF_ERROR(operation.Check(absl::StrCat("systemd: start ", name)));
    int result = sd_bus_process(bus, nullptr);
    if (result < 0) return Failed("talk on the bus", result);
    if (result > 0) continue;
    result = WaitFor(bus, cancelled);
    if (result < 0) return Failed("wait for the bus", result);
  }
  if (job.result == "done") return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("systemd: start ", name, ": ", job.result));
}

}  // namespace

std::string PodScopeName(absl::string_view pod_id) {
  return absl::StrCat("crisp-", pod_id, ".scope");
}

absl::Status StartPodScope(absl::string_view slice,
                           absl::string_view pod_id,
                           const std::vector<int32_t>& pids,
                           const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const Bus bus, Connect(operation));
  Job job;
  sd_bus_slot* raw_slot = nullptr;
  const int result = sd_bus_match_signal(bus.get(), &raw_slot, kService, kPath, kManager,
                                         "JobRemoved", OnJobRemoved, &job);
  Slot slot(raw_slot);
  if (result < 0) return Failed("listen for JobRemoved", result);
  const std::string name = PodScopeName(pod_id);
  // Fails when there is no failed unit of that name, which is as well.
  (void)sd_bus_call_method(bus.get(), kService, kPath, kManager, "ResetFailedUnit", nullptr,
                           nullptr, "s", name.c_str());
  CRISP_RETURN_IF_ERROR(AskForScope(bus.get(), name, std::string(slice), pids, operation, job));
  return AwaitJob(bus.get(), name, operation, job);
}

absl::Status AskSystemd(const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const Bus bus, Connect(operation));
  const int result = sd_bus_call_method(bus.get(), kService, kPath, "org.freedesktop.DBus.Peer",
                                        "Ping", nullptr, nullptr, "");
  return result < 0 ? Failed("ask whether it is there", result) : absl::OkStatus();
}

absl::Status PlaceShim(const Cgroup& leaf,
                       absl::string_view slice,
                       absl::string_view pod_id,
                       pid_t shim,
                       const Operation& operation) {
  std::vector<int32_t> pids = {shim};
  // Absent in kernels without this file; then the pod's pid 1 stays where crispd is.
  const auto children = ReadFile(absl::StrCat("/proc/", shim, "/task/", shim, "/children"));
  for (absl::string_view word :
       absl::StrSplit(children.value_or(""), ' ', absl::SkipWhitespace())) {
    int32_t child = 0;
    if (absl::SimpleAtoi(word, &child)) pids.push_back(child);
  }
  CRISP_RETURN_IF_ERROR(StartPodScope(slice, pod_id, pids, operation));
  if (leaf.v2()) {
    // Not CreateDirs(): a controller that is handed down while there are processes makes the scope
    // the domain of threaded groups, which the leaf cannot be.
    if (mkdir(leaf.PrimaryDir().c_str(), 0755) != 0 && errno != EEXIST) {
      return ErrnoError(errno, absl::StrCat("create cgroup ", leaf.path()));
    }
  } else {
    CRISP_RETURN_IF_ERROR(leaf.CreateDirs());
  }
  for (const std::string& dir : leaf.Dirs()) {
    for (const int32_t pid : pids) {
      CRISP_RETURN_IF_ERROR(WriteKernelFile(dir + "/cgroup.procs", absl::StrCat(pid)));
    }
  }
  return absl::OkStatus();
}

}  // namespace crisp::runtime
