#include "runtime/shim/userns.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "runtime/shim/pod.h"

namespace crisp::shim {
namespace {

bool WriteMaps(pid_t pid, const char* file, const List<IdMapView>& maps) {
  Text<4096> text;
  for (const IdMapView& map : maps) {
    text.AddNumber(map.container_id).Add(" ").AddNumber(map.host_id).Add(" ");
    text.AddNumber(map.size).Add("\n");
  }
  Text<64> path;
  path.Add("/proc/").AddNumber(pid).Add("/").Add(file);
  return WriteFileAt(AT_FDCWD, path.data, text.data, text.size);
}

}  // namespace

UsernsHolder::~UsernsHolder() {
  gate.Reset();
  if (child.pid > 0) (void)WaitFor(child.pid);
}

bool StartHolder(uint64_t flags, UsernsHolder* holder) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return Fail("make a socket pair");
  }
  holder->gate.Reset(ends[0]);
  const Fd theirs(ends[1]);
  const pid_t pid = CloneSelf(flags, &holder->child, -1);
  if (pid == 0) {
    holder->gate.Reset();
    char byte;
    (void)!read(theirs.get(), &byte, 1);
    _exit(0);
  }
  return pid > 0 || Fail("create a user namespace");
}

bool MapHolder(const UsernsHolder& holder,
               const List<IdMapView>& uids,
               const List<IdMapView>& gids) {
  return WriteMaps(holder.child.pid, "uid_map", uids) &&
         WriteMaps(holder.child.pid, "gid_map", gids);
}

int MakeUserns(const List<IdMapView>& uid_maps, const List<IdMapView>& gid_maps) {
  UsernsHolder holder;
  if (!StartHolder(CLONE_NEWUSER, &holder) || !MapHolder(holder, uid_maps, gid_maps)) return -1;
  return OpenNamespace(holder.child.pid, "user");
}

}  // namespace crisp::shim
