#ifndef CRISP_TEST_E2E_DAEMON_H_
#define CRISP_TEST_E2E_DAEMON_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/testing/temp_dir.h"
#include "cri/api/api.grpc.pb.h"
#include "cri/api/crisp_admin.grpc.pb.h"

namespace crisp::e2e {

namespace cri = ::runtime::v1;

// One crispd instance of its own: roots, socket, bridge and subnet that no other uses, so several
// test binaries can run beside each other. The destructor resets it and fails the running test when
// that leaves a process, a cgroup, a mount or a link behind.
class Daemon {
 public:
  // `config` is YAML of top-level keys other than `network` and `runtime`.
  explicit Daemon(const std::string& config = "");
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Starts crispd and returns once Version answers. Fails the test if it never does.
  void Start();
  // Sets what Start() starts from now on: another release's programs (a directory; "" for this
  // build's), and another crisp-shim ("" for the one that belongs to the programs).
  void UsePrograms(const std::string& bin, const std::string& shim);
  void Terminate();  // SIGTERM and wait: pods stay
  void Kill();       // SIGKILL and wait: pods stay
  pid_t pid() const { return pid_; }
  // A name that is unique on the machine: the bridge's, and the cgroup parent's that pods ask for.
  const std::string& bridge() const { return bridge_; }
  // The parent for pods: a cgroup or (CRISP_CGROUP_DRIVER=systemd) a slice that only this instance
  // uses.
  std::string cgroup_parent() const;

  cri::RuntimeService::Stub& runtime() { return *runtime_; }
  cri::ImageService::Stub& images() { return *images_; }
  // The same services over the operator's socket, and the operator's own.
  cri::RuntimeService::Stub& operators_runtime() { return *operators_runtime_; }
  cri::ImageService::Stub& operators_images() { return *operators_images_; }
  crisp::v1::Admin::Stub& admin() { return *admin_; }
  std::string operator_socket() const { return dir_.path() + "/state/operator.sock"; }
  // Fresh stubs on a new connection (after a restart, or for parallel use).
  std::unique_ptr<cri::RuntimeService::Stub> NewRuntimeStub() const;

  const std::string& scratch() const { return dir_.path(); }
  std::string log_path() const { return dir_.path() + "/crispd.log"; }

  // Imports the test image (environment CRISP_E2E_IMAGE, a tar) and returns its reference.
  std::string ImportImage();

  // The remains of this instance: processes, cgroups, mounts, links. Empty if nothing is left.
  std::vector<std::string> Residue() const;

 private:
  int Run(const std::vector<std::string>& argv) const;

  TempDir dir_;
  std::string bin_, started_bin_, shim_;
  std::string bridge_;
  pid_t pid_ = -1;
  std::unique_ptr<cri::RuntimeService::Stub> runtime_;
  std::unique_ptr<cri::ImageService::Stub> images_;
  std::unique_ptr<cri::RuntimeService::Stub> operators_runtime_;
  std::unique_ptr<cri::ImageService::Stub> operators_images_;
  std::unique_ptr<crisp::v1::Admin::Stub> admin_;
};

}  // namespace crisp::e2e

#endif  // CRISP_TEST_E2E_DAEMON_H_
