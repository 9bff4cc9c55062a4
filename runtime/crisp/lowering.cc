#include "runtime/crisp/lowering.h"

#include <linux/mount.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/status.h"
#include "runtime/crisp/cgroup_mounts.h"
#include "runtime/plan/mount_options.h"
#include "runtime/plan/plan_builder.h"
#include "runtime/plan/plan_process.h"

namespace crisp::runtime {
namespace {

// The mounts that take the place of the spec's mount of the cgroups; none if it has none.
absl::StatusOr<std::vector<MountPlan>> CgroupMountsOf(const OciSpec& spec, const Cgroup& group) {
  const auto mount = std::find_if(spec.mounts.begin(), spec.mounts.end(), [](const OciMount& one) {
    return one.type == "cgroup" || one.type == "cgroup2";
  });
  if (mount == spec.mounts.end()) return std::vector<MountPlan>();
  CRISP_ASSIGN_OR_RETURN(const MountOptions options, ParseMountOptions(mount->options));
  return CgroupMounts(group, mount->destination, (options.attributes & MOUNT_ATTR_RDONLY) != 0,
                      spec.FindNamespace("cgroup") == nullptr);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const CrispExecBase>> Lowering::MakeExecBase(const OciSpec& spec) {
  auto base = std::make_shared<CrispExecBase>();
  CRISP_ASSIGN_OR_RETURN(base->process, BuildProcessPlan(spec.process, capabilities_));
  base->process.argv.clear();
  if (spec.linux_.seccomp.has_value()) {
    CRISP_ASSIGN_OR_RETURN(base->seccomp, seccomp_.Get(*spec.linux_.seccomp));
  }
  return base;
}

absl::StatusOr<ContainerPlan> Lowering::ToPlan(const NewContainer& container,
                                               const CrispExecBase& base) const {
  const Cgroup group = GroupAt(container.spec.linux_.cgroups_path);
  ContainerInputs inputs{.container_id = container.id,
                         .lower_dirs = container.lower_dirs,
                         .upper_dir = container.upper_dir,
                         .work_dir = container.work_dir,
                         .log_path = container.log_path,
                         .stdin_open = container.stdin_open,
                         .stdin_once = container.stdin_once,
                         .exit_record = container.exit_record,
                         .pod = container.namespaces,
                         .cgroup_dirs = group.Dirs(),
                         .cgroup_v2 = group.v2(),
                         .available_capabilities = capabilities_,
                         .image_volumes = container.image_volumes,
                         .empty_layer = empty_layer_,
                         .device_sources = container.device_sources};
  CRISP_ASSIGN_OR_RETURN(inputs.cgroup_mounts, CgroupMountsOf(container.spec, group));
  if (base.seccomp != nullptr) {
    inputs.seccomp_bpf = base.seccomp->bpf;
    inputs.seccomp_flags = base.seccomp->flags;
  }
  return BuildContainerPlan(container.spec, inputs);
}

absl::StatusOr<ExecPlan> Lowering::ToPlan(const NewExec& exec) const {
  const auto& base = static_cast<const CrispExecBase&>(exec.base);
  const Cgroup group = GroupAt(exec.cgroups_path);
  ExecInputs inputs{.exec_id = exec.id,
                    .container_id = exec.container_id,
                    .argv = exec.argv,
                    .terminal = exec.terminal,
                    .cgroup_dirs = group.ExecDirs(),
                    .cgroup_v2 = group.v2()};
  if (base.seccomp != nullptr) {
    inputs.seccomp_bpf = base.seccomp->bpf;
    inputs.seccomp_flags = base.seccomp->flags;
  }
  return BuildExecPlan(base.process, std::move(inputs));
}

}  // namespace crisp::runtime
