#ifndef CRISP_CRI_CONTAINERS_SPEC_EDITS_H_
#define CRISP_CRI_CONTAINERS_SPEC_EDITS_H_

#include <memory>
#include <vector>

#include "cri/containers/pod_options.h"
#include "cri/containers/spec_edit.h"
#include "runtime/paths/host_paths.h"

namespace crisp::cri {

// The edits of this version, in the order in which they are applied: CDI devices, then the block IO
// class, then what the annotations of the operator's pods ask for, which is the operator's last
// word. `paths` outlives them.
std::vector<std::unique_ptr<SpecEdit>> MakeSpecEdits(const PodManagerOptions& options,
                                                     runtime::HostPaths& paths);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_SPEC_EDITS_H_
