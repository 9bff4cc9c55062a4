#ifndef CRISP_CRI_CONTAINERS_POD_OPTIONS_H_
#define CRISP_CRI_CONTAINERS_POD_OPTIONS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/handler/handler_table.h"

namespace crisp::cri {

struct PodManagerOptions {
  std::string state;  // tmpfs directory: state.db, pods/<id>/
  std::string root;   // durable directory: the contents of image volumes
  runtime::CgroupDriver cgroup_driver = runtime::CgroupDriver::kCgroupfs;
  std::vector<runtime::HandlerOptions> handlers = {{.name = "crisp"}};  // besides ""
  std::vector<std::string>
      cgroup_writable_handlers;   // whose containers may make cgroups of their own
  bool selinux = true;            // labels, if the kernel has SELinux
  bool selinux_required = false;  // without SELinux, a request for labels is refused
  int selinux_categories = 1024;  // pods get pairs of the first so many
  bool own_devices = false;  // a container's devices belong to its run_as_user and run_as_group
  std::string blockio_config_file;         // read when a container asks for a class
  std::vector<std::string> cdi_spec_dirs;  // if empty, CDI devices are refused
  std::string path_helper;  // crisp-paths, which looks at paths that pods and volumes control
  absl::Duration path_timeout = absl::Seconds(30);  // when such a path is given up
  int spare_roots = 0;         // overlays that are mounted ahead, for each of the images used last
  bool attach_spares = false;  // the network prepares the pool's spares
  // The time between two readings of CPU and OOM counters while there are pods.
  absl::Duration sample_period = absl::Seconds(10);
  std::shared_ptr<const runtime::CgroupLayout> cgroups;  // null for this machine's
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_POD_OPTIONS_H_
