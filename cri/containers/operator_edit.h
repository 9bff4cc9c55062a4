#ifndef CRISP_CRI_CONTAINERS_OPERATOR_EDIT_H_
#define CRISP_CRI_CONTAINERS_OPERATOR_EDIT_H_

#include <memory>

#include "cri/containers/spec_edit.h"
#include "runtime/paths/host_paths.h"

namespace crisp::cri {

// The limits that the annotations of an operator's container ask for: ulimits, and rates of block
// devices (operator_annotations.h). On other containers the annotations are overlooked. `paths`
// outlives it.
std::unique_ptr<SpecEdit> MakeOperatorEdit(runtime::HostPaths& paths);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_OPERATOR_EDIT_H_
