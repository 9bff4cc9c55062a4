#include "runtime/shim/resolve.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace crisp::shim {
namespace {

constexpr int kMaxLinks = 40;

// The place of the walk: `done` has been resolved (no symlinks, no ".."), `rest` is still to go.
struct Walk {
  int root;
  bool directory;
  Path done, rest;
  int links = 0;
};

void PopComponent(Path* path) {
  while (path->size > 0 && path->data[path->size - 1] != '/') --path->size;
  if (path->size > 0) --path->size;
  path->data[path->size] = '\0';
}

bool TakeComponent(Path* rest, char* name, size_t limit) {
  size_t begin = 0;
  while (rest->data[begin] == '/') ++begin;
  size_t end = begin;
  while (rest->data[end] != '\0' && rest->data[end] != '/') ++end;
  if (end - begin >= limit) return false;
  memcpy(name, rest->data + begin, end - begin);
  name[end - begin] = '\0';
  memmove(rest->data, rest->data + end, rest->size - end + 1);
  rest->size -= end;
  return true;
}

bool NothingLeft(const Path& rest) { return strspn(rest.data, "/") == rest.size; }

// Makes the missing `name` in the directory that is done so far. An existing one (a race) is fine.
bool Make(const Walk& walk, const char* name, bool directory) {
  const char* parent_path = walk.done.size == 0 ? "/" : walk.done.data;
  const Fd parent(OpenInRoot(walk.root, parent_path, O_PATH | O_DIRECTORY));
  if (!parent.valid()) return false;
  if (directory) return mkdirat(parent.get(), name, 0755) == 0 || errno == EEXIST;
  const Fd file(
      openat(parent.get(), name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644));
  return file.valid() || errno == EEXIST;
}

bool FollowLink(Walk* walk, int link) {
  if (++walk->links > kMaxLinks) {
    errno = ELOOP;
    return false;
  }
  char target[4096];
  const ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);
  if (n < 0) return false;
  Path rest;
  rest.Add(target, static_cast<size_t>(n)).Add("/").Add(walk->rest.data);
  if (rest.overflow) {
    errno = ENAMETOOLONG;
    return false;
  }
  if (target[0] == '/') walk->done = Path();
  walk->rest = rest;
  return true;
}

// One component further. False with errno.
bool Step(Walk* walk) {
  char name[256];
  if (!TakeComponent(&walk->rest, name, sizeof(name))) {
    errno = ENAMETOOLONG;
    return false;
  }
  if (name[0] == '\0' || strcmp(name, ".") == 0) return true;
  if (strcmp(name, "..") == 0) {
    PopComponent(&walk->done);
    return true;
  }
  Path next = walk->done;
  next.Add("/").Add(name);
  if (next.overflow) {
    errno = ENAMETOOLONG;
    return false;
  }
  Fd here(OpenInRoot(walk->root, next.data, O_PATH | O_NOFOLLOW));
  if (!here.valid() && errno == ENOENT) {
    const bool last = NothingLeft(walk->rest);
    if (!Make(*walk, name, !last || walk->directory)) return false;
    here.Reset(OpenInRoot(walk->root, next.data, O_PATH | O_NOFOLLOW));
  }
  if (!here.valid()) return false;
  struct stat status;
  if (fstat(here.get(), &status) != 0) return false;
  if (S_ISLNK(status.st_mode)) return FollowLink(walk, here.get());
  walk->done = next;
  return true;
}

}  // namespace

int EnsureInRoot(int root, const char* path, bool directory) {
  int fd = OpenInRoot(root, path, O_PATH);
  if (fd >= 0) return fd;
  if (errno == ENOENT) {
    Walk walk = {.root = root, .directory = directory};
    walk.rest.Add(path);
    bool good = !walk.rest.overflow;
    while (good && !NothingLeft(walk.rest)) good = Step(&walk);
    if (good)
      fd = OpenInRoot(root, walk.done.size == 0 ? "/" : walk.done.data, O_PATH | O_NOFOLLOW);
  }
  if (fd < 0) Fail("make the mount point", path);
  return fd;
}

}  // namespace crisp::shim
