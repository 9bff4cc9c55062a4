#ifndef CRISP_RUNTIME_LSM_SELINUX_STORE_H_
#define CRISP_RUNTIME_LSM_SELINUX_STORE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/lsm/selinux.h"

namespace crisp::runtime {

// Layers and writable layers lie behind an overlay that has the container's label. But a program
// that is mapped or protected is checked by the label of its own file. So these files have the
// policy's label for what all containers may read and none may write.

// That label, from the text of the policy's lxc_contexts file (`ro_file = "CONTEXT"`); "" if it has
// none.
std::string SharedFileContext(absl::string_view lxc_contexts);

// Labels directories of crispd's own that hold layers, with all that is in them; new files inherit
// the label. Makes missing ones. Does nothing if containers get no labels, and nothing more in a
// directory that has the label. Call it before anything else is made in there.
absl::Status LabelStores(const std::vector<std::string>& directories, const SelinuxHost& host);

// Labels one directory of them. Its own label comes last, because it says that everything below has
// it.
absl::Status LabelStore(const std::string& path, const std::string& label);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_LSM_SELINUX_STORE_H_
