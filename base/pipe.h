#ifndef CRISP_BASE_PIPE_H_
#define CRISP_BASE_PIPE_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace crisp {

// Two ends that are connected, both close-on-exec. `what` is for the error: "make <what>: …".

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};
// `flags` are further ones of pipe2(2), such as O_NONBLOCK.
absl::StatusOr<Pipe> MakePipe(absl::string_view what, int flags = 0);

// One end for us, and one to be given away.
struct SocketPair {
  UniqueFd ours;
  UniqueFd theirs;
};
// Unix sockets of the type: SOCK_STREAM, SOCK_SEQPACKET. Unlike with a pipe, who writes to an end
// whose other has gone can have an error in place of a signal (MSG_NOSIGNAL).
absl::StatusOr<SocketPair> MakeSocketPair(absl::string_view what, int type);

}  // namespace crisp

#endif  // CRISP_BASE_PIPE_H_
