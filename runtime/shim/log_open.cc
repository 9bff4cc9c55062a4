#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/shim/log.h"
#include "runtime/shim/sys.h"

namespace crisp::shim {
namespace {

constexpr uint64_t kInside = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
constexpr uint64_t kDirectory = O_PATH | O_DIRECTORY;
// A terminal does not become ours, and nothing is waited for that has no reader.
constexpr int kAppend = O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

// The trusted directory itself: the node's own links are followed.
int OpenTrusted(Path* path) {
  int fd = open(path->data, static_cast<int>(kDirectory) | O_CLOEXEC);
  if (fd >= 0 || errno != ENOENT) return fd;
  for (char* slash = strchr(path->data + 1, '/'); slash != nullptr;
       slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    (void)mkdir(path->data, 0755);  // whatever is wrong shows at the end
    *slash = '/';
  }
  (void)mkdir(path->data, 0755);
  return open(path->data, static_cast<int>(kDirectory) | O_CLOEXEC);
}

// The directory `name` in `parent`, made when it is missing.
int Descend(int parent, const char* name) {
  const int fd = SysOpenat2(parent, name, kDirectory, 0, kInside);
  if (fd >= 0 || errno != ENOENT) return fd;
  if (mkdirat(parent, name, 0755) != 0 && errno != EEXIST) return -1;
  return SysOpenat2(parent, name, kDirectory, 0, kInside);
}

// All but the last name of `path`, which is cut up and becomes that name. Invalid: errno.
Fd OpenParent(Fd at, char** path) {
  char* rest = *path;
  while (at.valid()) {
    while (*rest == '/') ++rest;
    char* const slash = strchr(rest, '/');
    if (slash == nullptr) break;
    *slash = '\0';
    at.Reset(Descend(at.get(), rest));
    rest = slash + 1;
  }
  *path = rest;
  return at;
}

const char* KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISLNK(mode)) return "a symbolic link";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// Looks at the file before it opens it, because opening a device may do something. -1 with *kind,
// which says what stands in the way, or with errno.
int OpenRegular(int parent, const char* name, const char** kind) {
  for (int tries = 0; tries < 16; ++tries) {
    const Fd there(SysOpenat2(parent, name, O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH));
    if (!there.valid()) {
      if (errno != ENOENT) return -1;
      const int made = openat(parent, name, kAppend | O_CREAT | O_EXCL | O_NOFOLLOW, 0640);
      if (made >= 0 || errno != EEXIST) return made;
      continue;  // somebody else was quicker
    }
    struct stat status;
    if (fstat(there.get(), &status) != 0) return -1;
    if (!S_ISREG(status.st_mode)) {
      *kind = KindOf(status.st_mode);
      return -1;
    }
    Text<64> self;
    self.Add("/proc/self/fd/").AddNumber(there.get());
    return open(self.data, kAppend);
  }
  errno = EBUSY;
  return -1;
}

}  // namespace

int OpenLogFile(const char* whole) {
  Path path;
  path.Add(whole);
  char* const mark = strstr(path.data, "/./");
  char* rest = mark != nullptr ? mark + 3 : strrchr(path.data, '/');
  if (path.overflow || path.data[0] != '/' || rest == nullptr) {
    Refuse(kInvalidArgument, "no path for a log:", whole);
    return -1;
  }
  Path trusted;
  trusted.Add(path.data, static_cast<size_t>((mark != nullptr ? mark : rest) - path.data));
  if (trusted.size == 0) trusted.Add("/");
  if (mark == nullptr) ++rest;
  Fd top(OpenTrusted(&trusted));
  const Fd parent = OpenParent(static_cast<Fd&&>(top), &rest);
  const char* kind = nullptr;
  const int fd = parent.valid() && *rest != '\0' ? OpenRegular(parent.get(), rest, &kind) : -1;
  if (kind != nullptr) {
    Text<512> object;
    object.Add(whole, strnlen(whole, 380))
        .Add(" (it is ")
        .Add(kind)
        .Add(", only a regular file will do)");
    Refuse(kFailedPrecondition, "open the log", object.data);
    return -1;
  }
  if (fd < 0) {
    Fail("open the log", whole);
    return -1;
  }
  (void)fchmod(fd, 0640);
  (void)fcntl(fd, F_SETFL, O_APPEND);  // it is a regular file: waiting is right again
  return fd;
}

}  // namespace crisp::shim
