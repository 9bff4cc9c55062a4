#ifndef CRISP_RUNTIME_LSM_SELINUX_STORE_H_
#define CRISP_RUNTIME_LSM_SELINUX_STORE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/lsm/selinux.h"

namespace crisp::runtime {

// Layers and writable layers lie behind an overlay that has the container's label. Yet a program
// that is mapped or protected is checked by the label of its own file, so those must be readable
// for containers: with the policy's label for what all of them may read and none may write.

// What the text of the policy's lxc_contexts file says of that (`ro_file = "CONTEXT"`); "" when
// nothing.
std::string SharedFileContext(absl::string_view lxc_contexts);

// Labels directories of crispd's own that hold layers, with all that is in them; new files inherit
// it. Makes them where they are missing. Does nothing where containers get no labels, and nothing
// at once in a directory that has the label. Before anybody else makes something in there.
absl::Status LabelStores(const std::vector<std::string>& directories, const SelinuxHost& host);

// One directory of them. Its own label comes last: it says that all below have it.
absl::Status LabelStore(const std::string& path, const std::string& label);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_LSM_SELINUX_STORE_H_
