#ifndef CRISP_RUNTIME_SHIM_RESOLVE_H_
#define CRISP_RUNTIME_SHIM_RESOLVE_H_

#include "runtime/shim/sys.h"

namespace crisp::shim {

// An O_PATH descriptor of `path` inside `root`. Missing parts are made: directories on the way, and
// at the end a directory or an empty file. Symlinks (dangling ones too) lead inside the root as for
// a process chrooted there. Every step uses the kernel's RESOLVE_IN_ROOT, so a racing change of the
// tree cannot lead out. -1 with g_error.
int EnsureInRoot(int root, const char* path, bool directory);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_RESOLVE_H_
