#include "runtime/shim/propagation.h"

#include <fcntl.h>
#include <poll.h>

#include "runtime/shim/mounts.h"
#include "runtime/shim/pod.h"

namespace crisp::shim {
namespace {

// proc(5): a poll of mountinfo is POLLPRI when mounts have changed since it was opened, or polled.
bool OpenTable(Fd* table) {
  const HostScope host;
  if (!host.entered()) return false;
  table->Reset(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  return table->valid() || Fail("open the host's table of mounts");
}

bool Changed(const Fd& table) {
  pollfd poll_table = {.fd = table.get(), .events = POLLPRI, .revents = 0};
  return poll(&poll_table, 1, 0) != 0;
}

int CloneAgain(const Prepared& prepared, int index, Fd* table) {
  int at = -1;
  for (const MountView& mount : prepared.view.mounts) {
    if (++at != index) continue;
    if (!table->valid() && !OpenTable(table)) return -1;
    (void)Changed(*table);
    Fd clone(MountBind(mount));
    return clone.valid() && ApplyAttributes(clone.get(), mount) ? clone.Release() : -1;
  }
  Refuse(kInternal, "no such mount");
  return -1;
}

// The answer; its error is in g_error.
bool Ask(int status, ChildMessage type, int index, ChildReport* answer, int* fd) {
  ChildReport asked = {.type = type, .pid = index, .error = {}};
  if (!SendFd(status, &asked, sizeof(asked), -1)) return false;
  if (ReceiveFd(status, answer, sizeof(*answer), fd) != sizeof(*answer)) {
    return Refuse(kInternal, "the shim does not answer");
  }
  if (answer->type == type) return true;
  g_error = answer->error;
  return false;
}

}  // namespace

bool Follows(const MountView& mount) {
  return mount.kind == MountKind::kBind && mount.propagation != Propagation::kPrivate &&
         !IsPodSource(mount) && !mount.copy_up && mount.sub_path.empty();
}

bool AnyFollows(const ContainerView& plan) {
  for (const MountView& mount : plan.mounts) {
    if (Follows(mount)) return true;
  }
  return false;
}

bool ServeBind(int socket, const Prepared& prepared, const ChildReport& asked, Fd* table) {
  ChildReport answer = {.type = asked.type, .pid = 0, .error = {}};
  Fd clone;
  if (asked.type == ChildMessage::kBind) {
    clone.Reset(CloneAgain(prepared, asked.pid, table));
    if (!clone.valid()) {
      answer.type = ChildMessage::kError;
      answer.error = g_error;
    }
  } else {
    answer.pid = Changed(*table);
  }
  // One that has ended needs no answer, and what it said before is to be read.
  return SendFd(socket, &answer, sizeof(answer), clone.get()) || g_error.error_number == EPIPE ||
         g_error.error_number == ECONNRESET;
}

int AskForBind(int status, int index) {
  ChildReport answer;
  int clone = -1;
  return Ask(status, ChildMessage::kBind, index, &answer, &clone) ? clone : -1;
}

int AskForChange(int status, int index) {
  ChildReport answer;
  int none = -1;
  return Ask(status, ChildMessage::kBound, index, &answer, &none) ? answer.pid : -1;
}

}  // namespace crisp::shim
