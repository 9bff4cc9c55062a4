#ifndef CRISP_RUNTIME_SHIM_COPY_TREE_H_
#define CRISP_RUNTIME_SHIM_COPY_TREE_H_

namespace crisp::shim {

// Copies the contents of one open directory into another that nobody else writes, with modes,
// owners, times and extended attributes. Hard links become copies. Symlinks are copied, never
// followed.
bool CopyTree(int source, int target);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_COPY_TREE_H_
