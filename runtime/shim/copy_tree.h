#ifndef CRISP_RUNTIME_SHIM_COPY_TREE_H_
#define CRISP_RUNTIME_SHIM_COPY_TREE_H_

namespace crisp::shim {

// Copies what is in one open directory into another that nobody else writes: modes, owners, times
// and extended attributes; hard links become copies. Symlinks are copied, never followed.
bool CopyTree(int source, int target);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_COPY_TREE_H_
