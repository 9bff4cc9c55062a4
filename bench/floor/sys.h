#ifndef CRISP_BENCH_FLOOR_SYS_H_
#define CRISP_BENCH_FLOOR_SYS_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace crisp::bench {

// The calls that the C library lacks or wraps. Each ends the program with `what` and the kernel's
// reason when it fails: a floor with a missing step would be no floor.

int Check(long result, const char* what);
[[noreturn]] void Die(const char* what);

// Runs `child` (which never returns) in a new process that borrows this one's memory until it
// executes a program, as vfork does, so nothing of the memory is copied. With `cgroup` < 0 it stays
// in this process's cgroup. Returns the pid. A child that ends before execve ends the program with
// the child's reason.
pid_t SpawnBorrowing(uint64_t namespaces, int cgroup, void (*child)(void*), void* argument);

int OpenPath(int directory, const char* path, int flags);
// Opens a path as a process would whose root directory is `root`.
int OpenInRoot(int root, const char* path);
void WriteAt(int directory, const char* path, const char* text);
void EnterNamespace(int fd, int type, const char* what);

int NewFileSystem(const char* type);
void SetString(int fs, const char* key, const char* value);
int MountNew(int fs);
int CloneMount(int directory, const char* path, bool recursive);
void AttachMount(int mount, int target, const char* what);
void SetMountAttributes(int mount, uint64_t attributes, bool recursive);

}  // namespace crisp::bench

#endif  // CRISP_BENCH_FLOOR_SYS_H_
