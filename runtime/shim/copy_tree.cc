#include "runtime/shim/copy_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "runtime/shim/sys.h"

namespace crisp::shim {
namespace {

constexpr int kMaxDepth = 200;

bool CopyAttributes(int source, int target, const struct stat& status, const char* name) {
  if (fchown(target, status.st_uid, status.st_gid) != 0) return Fail("set the owner of", name);
  char names[4096], value[4096];
  const ssize_t size = flistxattr(source, names, sizeof(names));
  for (ssize_t at = 0; at < size; at += static_cast<ssize_t>(strlen(names + at)) + 1) {
    const ssize_t n = fgetxattr(source, names + at, value, sizeof(value));
    // Some (security labels) belong to where a file lies; those that cannot be set are left out.
    if (n >= 0) (void)fsetxattr(target, names + at, value, static_cast<size_t>(n), 0);
  }
  const timespec times[2] = {status.st_atim, status.st_mtim};
  // Last: ownership clears the set-id bits.
  if (fchmod(target, status.st_mode & 07777) != 0 || futimens(target, times) != 0) {
    return Fail("set the mode of", name);
  }
  return true;
}

bool CopyFile(int from, int to, const char* name, const struct stat& status) {
  const Fd source(openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  const Fd target(openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!source.valid() || !target.valid()) return Fail("copy", name);
  ssize_t n;
  while ((n = sendfile(target.get(), source.get(), nullptr, 1 << 20)) > 0) {
  }
  if (n < 0) return Fail("copy", name);
  return CopyAttributes(source.get(), target.get(), status, name);
}

bool CopyLink(int from, int to, const char* name, const struct stat& status) {
  char value[4096];
  const ssize_t n = readlinkat(from, name, value, sizeof(value) - 1);
  if (n < 0) return Fail("read link", name);
  value[n] = '\0';
  if (symlinkat(value, to, name) != 0 ||
      fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return Fail("copy link", name);
  }
  return true;
}

bool CopyDirectory(int source, int target, int depth);

bool CopyEntry(int from, int to, const char* name, int depth) {
  struct stat status;
  if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return Fail("look at", name);
  if (S_ISREG(status.st_mode)) return CopyFile(from, to, name, status);
  if (S_ISLNK(status.st_mode)) return CopyLink(from, to, name, status);
  if (S_ISDIR(status.st_mode)) {
    if (mkdirat(to, name, 0700) != 0) return Fail("make directory", name);
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    const Fd source(openat(from, name, flags));
    const Fd target(openat(to, name, flags));
    if (!source.valid() || !target.valid()) return Fail("open directory", name);
    return CopyDirectory(source.get(), target.get(), depth + 1) &&
           CopyAttributes(source.get(), target.get(), status, name);
  }
  if (S_ISSOCK(status.st_mode)) return true;  // nobody listens to a copy
  if (mknodat(to, name, status.st_mode, status.st_rdev) != 0 ||
      fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == EPERM || Fail("copy device", name);  // a user namespace makes no devices
  }
  return true;
}

bool CopyDirectory(int source, int target, int depth) {
  if (depth > kMaxDepth) return Refuse(kInvalidArgument, "directories nest too deeply to copy");
  DIR* directory = fdopendir(fcntl(source, F_DUPFD_CLOEXEC, 3));
  if (directory == nullptr) return Fail("read a directory");
  bool good = true;
  while (good) {
    const dirent* entry = readdir(directory);
    if (entry == nullptr) break;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    good = CopyEntry(source, target, entry->d_name, depth);
  }
  closedir(directory);
  return good;
}

}  // namespace

bool CopyTree(int source, int target) {
  struct stat status;
  return CopyDirectory(source, target, 0) &&
         (fstat(source, &status) == 0 || Fail("look at a directory")) &&
         CopyAttributes(source, target, status, ".");
}

}  // namespace crisp::shim
