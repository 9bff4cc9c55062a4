#ifndef CRISP_CRI_NODE_NODE_INFO_H_
#define CRISP_CRI_NODE_NODE_INFO_H_

#include <string>

namespace crisp::cri {

inline constexpr char kRuntimeName[] = "crisp";
// The sandbox image that Status names to clients. crisp neither needs nor pulls one, but kubeadm
// looks for its own.
inline constexpr char kSandboxImage[] = "registry.k8s.io/pause:3.10.2";
// The version of this build, semver.
inline constexpr char kVersion[] = CRISP_VERSION;

// The abilities of the running kernel, as the CRI's Status tells them to the kubelet.
struct KernelFeatures {
  bool recursive_read_only = false;  // mount_setattr(2) with AT_RECURSIVE, Linux 5.12
  bool user_namespaces = false;      // pods with their own can run
  std::string no_user_namespaces;    // the reason if not
  std::string release;               // uname's
};

// Asks the kernel once; changes nothing, spawns nothing.
KernelFeatures ProbeKernel();

// Says what a kernel of this release lacks for pods with a user namespace, and what to do; empty if
// it lacks nothing. `allowed` says if user namespaces may be made at all.
std::string WhyNoUserNamespaces(const std::string& release, bool allowed);

// True if `release` ("6.1.0-13-amd64") is at least major.minor.
bool KernelAtLeast(const std::string& release, int major, int minor);

}  // namespace crisp::cri

#endif  // CRISP_CRI_NODE_NODE_INFO_H_
