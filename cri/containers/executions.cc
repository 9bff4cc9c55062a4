#include "cri/containers/executions.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/pipe.h"
#include "base/status.h"
#include "cri/containers/container_pauser.h"
#include "cri/containers/exec_output.h"

namespace crisp::cri {
namespace {

// How long a grandchild that holds the pipe may add to the output after the process has ended.
constexpr absl::Duration kDrainTime = absl::Milliseconds(100);

// The process's end blocks, as programs expect; ours does not.
absl::StatusOr<Pipe> MakeOutputPipe() {
  absl::StatusOr<Pipe> pipe = MakePipe("a pipe");
  if (!pipe.ok()) return Annotate(pipe.status(), "exec");
  if (::fcntl(pipe->read_end.get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoError(errno, "exec: fcntl");
  }
  return pipe;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const runtime::ExecBase>> Executions::BaseOf(Container& container) {
  {
    absl::MutexLock lock(&container.mutex);
    if (container.exec_base != nullptr) return container.exec_base;
  }
  CRISP_ASSIGN_OR_RETURN(const runtime::OciSpec spec, table_.SpecOf(container));
  CRISP_ASSIGN_OR_RETURN(std::shared_ptr<const runtime::ExecBase> base,
                         container.pod->runtime->MakeExecBase(spec));
  absl::MutexLock lock(&container.mutex);
  // An update that has come in between knows better.
  if (container.exec_base == nullptr) container.exec_base = std::move(base);
  return container.exec_base;
}

void Executions::FinishAllOf(const std::string& container_id, absl::Time at) {
  sessions_.FinishAllOf(container_id, {.exit_code = 137, .signal = 9, .exited_at = at});
}

absl::StatusOr<std::shared_ptr<ExecSession>> Executions::Start(absl::string_view container_id,
                                                               const std::vector<std::string>& argv,
                                                               bool terminal,
                                                               const runtime::Stdio& stdio,
                                                               const Operation& operation) {
  if (argv.empty() || argv[0].empty()) return absl::InvalidArgumentError("cmd: nothing to run");
  CRISP_ASSIGN_OR_RETURN(const PodTable::RunningContainer running,
                         table_.FindRunning(container_id));
  Container& container = *running.container;
  CRISP_RETURN_IF_ERROR(Can(*container.pod, runtime::Verb::kExec));
  // It would begin when the container goes on, long after its client has given up.
  if (IsPaused(container))
    return absl::FailedPreconditionError(absl::StrCat("container ", running.id, " is paused"));
  CRISP_ASSIGN_OR_RETURN(const std::shared_ptr<const runtime::ExecBase> base, BaseOf(container));
  UniqueFd exited(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!exited.valid()) return ErrnoError(errno, "exec: eventfd");
  auto session =
      std::make_shared<ExecSession>(GenerateId(), running.id, std::move(exited), running.handle);
  const auto record = container.Snapshot();
  const runtime::NewExec exec{.id = session->id(),
                              .container_id = running.id,
                              .cgroups_path = record->cgroup_path(),
                              .argv = argv,
                              .terminal = terminal,
                              .base = *base};
  // Known before it starts: its end may be told before Exec() returns.
  sessions_.Insert(session);
  const absl::Status status = running.handle->Exec(exec, stdio, operation).status();
  if (!status.ok()) {
    sessions_.Erase(session->id());
    // It may start all the same, when only the wait for it has ended.
    background_.Post([pod = running.handle, id = session->id()] { (void)pod->KillExec(id); });
    return status;
  }
  if (container.Stage() != state::ContainerRecord::RUNNING) FinishAllOf(running.id, absl::Now());
  return session;
}

absl::Status Executions::ExecSync(const v1::ExecSyncRequest& request,
                                  v1::ExecSyncResponse* reply,
                                  const Operation& operation) {
  const absl::Time deadline =
      request.timeout() > 0
          ? absl::Now() + absl::Seconds(std::min<int64_t>(request.timeout(), 1 << 30))
          : absl::InfiniteFuture();
  CRISP_ASSIGN_OR_RETURN(Pipe out, MakeOutputPipe());
  CRISP_ASSIGN_OR_RETURN(Pipe err, MakeOutputPipe());
  const CancelEvent cancelled(operation);
  CRISP_RETURN_IF_ERROR(cancelled.status());
  // Its time-out is that of its start, too.
  const Operation until = operation.Until(deadline);
  absl::StatusOr<std::shared_ptr<ExecSession>> begun =
      Start(request.container_id(), {request.cmd().begin(), request.cmd().end()}, false,
            {.stdout_fd = out.write_end.get(), .stderr_fd = err.write_end.get()}, until);
  if (absl::IsDeadlineExceeded(begun.status()) && absl::Now() >= deadline) {
    return absl::DeadlineExceededError(absl::StrCat("exec: the command did not begin within ",
                                                    request.timeout(), " s and was killed"));
  }
  CRISP_ASSIGN_OR_RETURN(const std::shared_ptr<ExecSession> session, std::move(begun));
  out.write_end.reset();
  err.write_end.reset();

  absl::Time drain_until = absl::InfiniteFuture();
  for (;;) {
    const bool exited = session->exit().has_value();
    if (exited && drain_until == absl::InfiniteFuture()) drain_until = absl::Now() + kDrainTime;
    const absl::Status read = DrainExecOutput(out.read_end, err.read_end, *reply);
    if (read.ok() && exited &&
        ((!out.read_end.valid() && !err.read_end.valid()) || absl::Now() >= drain_until))
      break;
    if (!exited || !read.ok()) {
      absl::Status status = read;
      if (status.ok()) status = operation.Check("exec");
      if (status.ok() && absl::Now() >= deadline) {
        status = absl::DeadlineExceededError(absl::StrCat("exec: the command did not end within ",
                                                          request.timeout(), " s and was killed"));
      }
      if (!status.ok()) {
        const absl::Status killed = session->Kill(Operation(absl::Now() + absl::Seconds(2)));
        if (!killed.ok())
          LogWarning("exec.kill", {{"exec", session->id()}, {"error", killed.ToString()}});
        return status;
      }
    }
    // poll(2) passes over negative descriptors: pipes that have ended, an exit that is known.
    pollfd fds[] = {{.fd = out.read_end.get(), .events = POLLIN},
                    {.fd = err.read_end.get(), .events = POLLIN},
                    {.fd = exited ? -1 : session->exited_fd(), .events = POLLIN}};
    if (exited) {
      (void)::poll(fds, 3, PollTimeout(drain_until));
    } else {
      (void)cancelled.Poll(absl::MakeSpan(fds), deadline);
    }
  }
  reply->set_exit_code(session->exit()->exit_code);
  return absl::OkStatus();
}

}  // namespace crisp::cri
