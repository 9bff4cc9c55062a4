#include "base/pipe.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp {

absl::StatusOr<Pipe> MakePipe(absl::string_view what, int flags) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | flags) != 0) return ErrnoError(errno, absl::StrCat("make ", what));
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

absl::StatusOr<SocketPair> MakeSocketPair(absl::string_view what, int type) {
  int ends[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoError(errno, absl::StrCat("make ", what));
  }
  return SocketPair{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace crisp
