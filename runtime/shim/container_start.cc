#include <fcntl.h>
#include <sys/socket.h>

#include "runtime/shim/birth.h"
#include "runtime/shim/pod.h"
#include "runtime/shim/propagation.h"

namespace crisp::shim {

namespace {

// True if it becomes a process of a PID namespace that has some already.
bool JoinsPidNamespace(const ContainerView& plan) {
  return plan.pid == NamespaceMode::kPod || plan.pid == NamespaceMode::kTarget;
}

// True if a child in between gives birth to it (Birth::helper).
bool NeedsHelper(const ContainerView& plan) {
  return g_pod.has_userns() || JoinsPidNamespace(plan);
}

// Finds the namespace for setns(CLONE_NEWPID) before the clone; -1 in *fd for none.
bool FindPidNamespace(const ContainerView& plan, int* fd) {
  *fd = -1;
  if (plan.pid == NamespaceMode::kPod) {
    *fd = g_pod.pod_pid.get();
    return *fd >= 0 || Refuse(kFailedPrecondition, "the pod shares no PID namespace");
  }
  if (plan.pid != NamespaceMode::kTarget) return true;
  // The number only says which child is meant.
  for (const Container* other = g_containers; other != nullptr; other = other->next) {
    if (other->state != State::kRunning || other->process.pid != plan.target_pid) continue;
    *fd = other->process.pidfd.get();
    return true;
  }
  return Refuse(kFailedPrecondition, "the target container does not run in this pod");
}

// The container's first process, or its helper, and this side's end of its status socket. False:
// g_error says why.
bool CloneChild(const Prepared& prepared, bool gated, Fd* status, Process* process) {
  const ContainerView& plan = prepared.view;
  CgroupEntry cgroups;
  int join_pid = -1, ends[2];
  if (!cgroups.Open(plan.cgroup_dirs, plan.cgroup_v2) || !FindPidNamespace(plan, &join_pid)) {
    return false;
  }
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return Fail("make a socket pair");
  }
  status->Reset(ends[0]);
  const Fd theirs(ends[1]);
  const StartPlan start = {&prepared, &cgroups, ends[1], join_pid, gated};
  const uint64_t flags = g_pod.has_userns() ? 0 : InitCloneFlags(plan);
  const pid_t child = CloneSelf(flags, process, cgroups.unified());
  if (child == 0) {
    status->Reset();
    RunContainerChild(start);
  }
  if (child < 0) Fail("create the container's process");
  // The child has its own descriptors of them.
  g_pod.sysfs.Reset();
  g_pod.mqueue.Reset();
  return child > 0;
}

// The child that waits, or a new one.
bool LetGo(Container* container) {
  if (container->waiting.pid == 0) {
    return CloneChild(*container->prepared, false, &container->gate, &container->waiting);
  }
  // One that has ended has left an error behind, or nothing when it was killed.
  return send(container->gate.get(), &kGo, sizeof(kGo), MSG_NOSIGNAL) == sizeof(kGo) ||
         errno == EPIPE || errno == ECONNRESET || Fail("let the container's process go on");
}

}  // namespace

// Work that cannot be done ahead, or fails, is left to BeginStart(), which has somebody to tell.
void AssembleAhead(Container* container) {
  if (container == nullptr || container->state != State::kCreated || container->waiting.pid > 0)
    return;
  const NamespaceMode pid = container->prepared->view.pid;
  if (g_pod.has_userns() || (pid != NamespaceMode::kPrivate && pid != NamespaceMode::kPod) ||
      AnyFollows(container->prepared->view)) {
    return;
  }
  if (!CloneChild(*container->prepared, true, &container->gate, &container->waiting)) {
    container->gate.Reset();
  }
}

void EndWaiting(Container* container) {
  container->gate.Reset();
  container->waiting.Kill();
  container->waiting = Process();
}

bool BeginStart(Container* container, uint64_t request_id) {
  if (container->state != State::kCreated) {
    return Refuse(kFailedPrecondition, "not in state created: container", container->id);
  }
  Owner<Birth> owner(new Birth);
  if (owner.get() == nullptr || !container->io.Watch() || !LetGo(container)) {
    const Error error = g_error;
    EndWaiting(container);
    FailStart(container);
    g_error = error;
    return false;
  }
  container->state = State::kStarting;
  Birth* const birth = owner.Release();
  birth->Begin(container, nullptr, container->gate.Release(), request_id);
  birth->dead = container->waiting.reaped;
  Process* born = NeedsHelper(container->prepared->view) ? &birth->helper : &container->process;
  born->TakeFrom(&container->waiting);
  return true;
}

}  // namespace crisp::shim
