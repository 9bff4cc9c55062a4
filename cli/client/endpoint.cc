#include "cli/client/endpoint.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/unique_fd.h"

namespace crisp::cli {

Endpoint ChooseEndpoint(const std::string& given, const std::string& prefix) {
  if (!given.empty()) {
    std::string path(absl::StripPrefix(given, "unix:"));
    if (absl::StartsWith(path, "//")) path.erase(0, 2);
    return {.path = path, .chosen = true};
  }
  const std::string all_pods = prefix + kOperatorSocket;
  if (access(all_pods.c_str(), F_OK) == 0) return {.path = all_pods};
  return {.path = prefix + kKubeletSocket};
}

absl::Status DaemonIsAway(const std::string& path, int error_number) {
  std::string why, todo =
                       "`systemctl status crispd` says whether it runs, `journalctl -u crispd` "
                       "why not; `crisp doctor` looks at the node";
  switch (error_number) {
    case 0:
      why = "it broke the connection";
      break;
    case ENOENT:
      why = "there is no such socket";
      absl::StrAppend(&todo, "; --address or CRISP_ADDRESS names another socket");
      break;
    case ECONNREFUSED:
      why = "nobody listens there";
      break;
    case EACCES:
    case EPERM:
      why = "this user may not use the socket";
      todo = "run crisp as root";
      break;
    default:
      why = strerror(error_number);
  }
  return absl::UnavailableError(
      absl::StrCat("crispd does not answer at ", path, ": ", why, ". What to do: ", todo));
}

int TryConnect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return ENAMETOOLONG;
  memcpy(address.sun_path, path.data(), path.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return errno;
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0)
    return 0;
  return errno == EAGAIN ? 0 : errno;  // a full backlog: it listens
}

}  // namespace crisp::cli
