#ifndef CRISP_CRI_PODS_POD_FILES_H_
#define CRISP_CRI_PODS_POD_FILES_H_

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "cri/api/api.pb.h"

namespace crisp::cri {

namespace v1 = ::runtime::v1;

// A pod's /etc/hostname, hosts and resolv.conf. Its containers may write to them. So they lie on a
// small file system of the pod's own, which its shim has made, and on nothing that the daemon
// needs.
class PodFiles {
 public:
  PodFiles() = default;
  // PodHandle::TakeFiles(), and what root in the pod is on the host.
  PodFiles(UniqueFd directory, uid_t uid, gid_t gid)
      : directory_(std::move(directory)), uid_(uid), gid_(gid) {}
  // Makes the file, which must not exist yet.
  absl::Status Write(const std::string& name, absl::string_view text) const;

 private:
  UniqueFd directory_;
  uid_t uid_ = 0;
  gid_t gid_ = 0;
};

// The contents of the files. The node's own serve if the pod shares or names none.
std::string HostnameOf(const v1::PodSandboxConfig& config);
std::string HostsOf(const v1::PodSandboxConfig& config, const std::vector<std::string>& addresses);
absl::StatusOr<std::string> ResolvConfOf(const v1::PodSandboxConfig& config);

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_POD_FILES_H_
