#include "runtime/shim/sys.h"

#include <fcntl.h>
#include <stdlib.h>

#ifdef CRISP_SHIM_FREESTANDING
// No C++ library is linked: these are all of it that the shim uses, and a plain `new` does not
// link. The handle is what destructors at the end of a program are registered with, which a shim
// never comes to; most linkers want it to be somewhere.
extern "C" {
[[gnu::visibility("hidden")]] void* __dso_handle = nullptr;
}
void operator delete(void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t) noexcept { free(memory); }
extern "C" void __cxa_pure_virtual() { abort(); }
#endif

namespace crisp::shim {

Error g_error;

bool FailWith(int error_number, const char* step, const char* object) {
  Text<sizeof(g_error.text)> text;
  text.Add(step);
  if (object[0] != '\0') text.Add(" ").Add(object, strnlen(object, 380));
  g_error.code = kInternal;
  g_error.error_number = error_number;
  memcpy(g_error.text, text.data, text.size + 1);
  return false;
}

bool Fail(const char* step, const char* object) { return FailWith(errno, step, object); }

bool Refuse(Code code, const char* step, const char* object) {
  FailWith(0, step, object);
  g_error.code = code;
  return false;
}

int OpenInRoot(int root, const char* path, int flags, mode_t mode) {
  return SysOpenat2(root, path, static_cast<uint64_t>(flags), mode, kInRoot);
}

bool WriteFileAt(int dirfd, const char* path, const char* data, size_t size) {
  const Fd fd(openat(dirfd, path, O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return Fail("open", path);
  if (write(fd.get(), data, size) != static_cast<ssize_t>(size)) return Fail("write", path);
  return true;
}

bool WriteFileAt(int dirfd, const char* path, const char* data) {
  return WriteFileAt(dirfd, path, data, strlen(data));
}

void* Fallible::operator new(size_t size) noexcept { return Allocate(size); }
void Fallible::operator delete(void* memory) { free(memory); }

void* Allocate(size_t size) {
  void* const memory = calloc(1, size > 0 ? size : 1);
  if (memory == nullptr) FailWith(ENOMEM, "get memory in the shim");
  return memory;
}

char* Duplicate(const char* data, size_t size) {
  char* const copy = static_cast<char*>(Allocate(size + 1));
  if (copy != nullptr) memcpy(copy, data, size);
  return copy;
}

}  // namespace crisp::shim
