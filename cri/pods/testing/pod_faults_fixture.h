#ifndef CRISP_CRI_PODS_TESTING_POD_FAULTS_FIXTURE_H_
#define CRISP_CRI_PODS_TESTING_POD_FAULTS_FIXTURE_H_

// For tests of faults: what they see of a pod past the manager, its shim and its cgroups.

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/eventually.h"
#include "cri/pods/testing/pod_manager_fixture.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/client/shim_finder.h"

namespace crisp::cri {

class PodFaultsTest : public PodManagerTest {
 protected:
  std::string State() const { return dir_.path() + "/state"; }
  // The pid of the pod's shim. A child of its that has not reached its program is found for a
  // moment, too.
  pid_t ShimOf(const std::string& pod) {
    absl::StatusOr<std::vector<runtime::FoundShim>> found;
    (void)Eventually([&] {
      found = runtime::FindShims(dir_.path() + "/state/pods", pod);
      return !found.ok() || found->size() <= 1;
    });
    EXPECT_OK(found);
    EXPECT_EQ(found->size(), 1u);
    return found->empty() ? -1 : found->front().pid;
  }
  bool HasShim(const std::string& pod) {
    return !runtime::FindShims(dir_.path() + "/state/pods", pod)->empty();
  }
  bool IsStarting(const std::string& id) {
    const ContainerPtr container = manager_->table().FindContainer(id).value();
    absl::MutexLock lock(&container->mutex);
    return container->phase == Container::Phase::kStarting;
  }
  bool IsBeingStopped(const std::string& id) {
    const ContainerPtr container = manager_->table().FindContainer(id).value();
    absl::MutexLock lock(&container->mutex);
    return container->kill_at != absl::InfiniteFuture();
  }
  runtime::Cgroup GroupOf(const std::string& pod, const std::string& container) {
    auto layout = std::make_shared<const runtime::CgroupLayout>(runtime::DetectCgroups().value());
    return {layout, absl::StrCat("/crisp/", pod, container.empty() ? "" : "/", container)};
  }
  bool Dead(const std::string& pod, const std::string& container) {
    return GroupOf(pod, container).IsEmpty().value_or(false);
  }
  // True if no directory of the pod is left in any hierarchy, when undoing has had its time.
  bool GroupsGone(const std::string& pod) {
    const auto gone = [&] {
      for (const std::string& dir : GroupOf(pod, "").Dirs()) {
        if (::access(dir.c_str(), F_OK) == 0) return false;
      }
      return true;
    };
    return Eventually(gone);
  }
  // Ends the connection to a shim as the kernel may: the shim lives on. One of an adopted shim.
  void BreakConnection(pid_t shim) {
    // All are looked at before one is ended, for the next connection is made at once.
    std::vector<int> connections;
    ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, ListDir("/proc/self/fd"));
    for (const std::string& name : names) {
      int fd = -1, type = 0;
      if (!absl::SimpleAtoi(name, &fd)) continue;
      socklen_t size = sizeof(type);
      if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET)
        continue;
      struct ucred peer {};
      size = sizeof(peer);
      if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid != shim)
        continue;
      connections.push_back(fd);
    }
    ASSERT_EQ(connections.size(), 1u);
    ASSERT_EQ(::shutdown(connections[0], SHUT_RDWR), 0);
  }
  v1::RunPodSandboxRequest SharedPidRequest(const std::string& name) {
    v1::RunPodSandboxRequest request = PodRequest(name);
    request.mutable_config()
        ->mutable_linux()
        ->mutable_security_context()
        ->mutable_namespace_options()
        ->set_pid(v1::POD);
    return request;
  }
  size_t Containers() {
    v1::ListContainersResponse reply;
    EXPECT_OK(manager_->ListContainers({}, &reply, Operation()));
    return static_cast<size_t>(reply.containers_size());
  }
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_TESTING_POD_FAULTS_FIXTURE_H_
