#ifndef CRISP_RUNTIME_SHIM_INNER_PROC_H_
#define CRISP_RUNTIME_SHIM_INNER_PROC_H_

namespace crisp::shim {

// A procfs shows the PID namespace of the process that has opened it. A helper (Birth::helper)
// assembles the root of a process that joins a PID namespace and stays outside of it. So it needs a
// procfs of a namespace that is not its own.

// From now on OpenProc() means this namespace. `fd` is a descriptor of a PID namespace, or a pidfd
// of a process in it.
void UseProcOf(int fd);

// fsopen("proc") of the namespace that UseProcOf() has named, or else of the own one. -1 with
// g_error.
int OpenProc();

// True if a procfs has been mounted: somebody inside may have got between. False with g_error.
bool IsProc(int mount);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_INNER_PROC_H_
