#ifndef CRISP_BENCH_FLOOR_NODE_H_
#define CRISP_BENCH_FLOOR_NODE_H_

#include <memory>
#include <string>
#include <vector>

#include "bench/floor/network.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroup_resources.h"
#include "runtime/oci/oci_spec.h"

namespace crisp::bench {

struct NodeOptions {
  std::string directory;  // on the file system where pods' writable layers are to be
  std::string program;    // a static multi-call busybox
  int layers = 1;         // below every container's root
  int host_mounts = 0;    // more mounts on the host, as a busy node has
};

// The things that all pods of a run share and that a runtime makes once: bridge, image layers,
// compiled filter, cgroup parents, a small mount namespace to start containers from. Dies on
// failure; one per program.
class Node {
 public:
  explicit Node(const NodeOptions& options);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Called after a fork: the same node for another process. The parent keeps what was made.
  void Borrow();

  Bridge& bridge() { return *bridge_; }
  const std::string& name() const { return name_; }
  const std::string& directory() const { return directory_; }
  const std::vector<std::string>& layers() const { return layers_; }
  const runtime::CgroupLayout& cgroups() const { return cgroups_; }
  // A container's limits and device rules, as files to write.
  const std::vector<runtime::CgroupWrite>& limits() const { return limits_; }
  const std::vector<uint64_t>& device_program() const { return device_program_; }  // v2
  const std::string& filter() const { return filter_; }  // struct sock_filter[]

  // Namespaces of this process, open.
  struct Home {
    int net, ipc, uts, mnt, pid;
    int small_mnt;  // has /root to mount on, /proc, /empty and /null
  };
  const Home& home() const { return home_; }

 private:
  void MakeLayers(const NodeOptions& options);
  void MakeCgroups();
  void MakeSmallNamespace();
  void RemoveAll();

  std::string name_;
  std::string directory_;
  bool owned_ = true;
  std::unique_ptr<Bridge> bridge_;
  std::vector<std::string> layers_;
  std::vector<std::string> host_mounts_;
  runtime::CgroupLayout cgroups_;
  std::vector<runtime::CgroupWrite> limits_;
  std::vector<uint64_t> device_program_;
  std::string filter_;
  Home home_{};
};

}  // namespace crisp::bench

#endif  // CRISP_BENCH_FLOOR_NODE_H_
