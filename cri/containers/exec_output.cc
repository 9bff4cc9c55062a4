#include "cri/containers/exec_output.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::cri {
namespace {

// A kubelet's gRPC client takes this much of each stream; the rest is read and dropped.
constexpr size_t kMaxOutput = 16u << 20;

absl::Status Drain(UniqueFd& fd, std::string& output, absl::string_view stream) {
  char buffer[65536];
  while (fd.valid()) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof(buffer));
    if (n > 0) {
      output.append(buffer, std::min(static_cast<size_t>(n), kMaxOutput - output.size()));
    } else if (n == 0) {
      fd.reset();
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      return ErrnoError(errno, absl::StrCat("exec: read the command's ", stream));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status DrainExecOutput(UniqueFd& out, UniqueFd& err, v1::ExecSyncResponse& reply) {
  CRISP_RETURN_IF_ERROR(Drain(out, *reply.mutable_stdout(), "stdout"));
  return Drain(err, *reply.mutable_stderr(), "stderr");
}

}  // namespace crisp::cri
