#ifndef CRISP_STORAGE_STORE_TESTING_DIRTY_PAGES_H_
#define CRISP_STORAGE_STORE_TESTING_DIRTY_PAGES_H_

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/file.h"

namespace crisp::storage {

// For tests: the pages of a file that are not on the disk. nullopt if the kernel cannot tell
// (before Linux 6.5) or the file cannot be opened.
inline std::optional<uint64_t> UnsyncedPages(const std::string& path) {
  struct Range {
    uint64_t offset = 0, length = 0;
  } range;
  struct Counts {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
  } counts{};
  const absl::StatusOr<UniqueFd> fd = Open(path, O_RDONLY);
  constexpr long kCachestat = 451;  // newer than the C library's headers
  if (!fd.ok() || syscall(kCachestat, fd->get(), &range, &counts, 0) != 0) return std::nullopt;
  return counts.dirty + counts.writeback;
}

// True if files below `dir` can have unsynced pages. On a tmpfs no page is ever synced.
inline bool CanTellUnsynced(const std::string& dir) {
  const std::string path = dir + "/probe";
  if (!AtomicWriteFile(path, "x", 0600, Durability::kNone).ok()) return false;
  const std::optional<uint64_t> before = UnsyncedPages(path);
  const bool synced = AtomicWriteFile(path, "x", 0600, Durability::kSync).ok();
  const std::optional<uint64_t> after = UnsyncedPages(path);
  (void)unlink(path.c_str());
  return before > 0u && synced && after == 0u;
}

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_STORE_TESTING_DIRTY_PAGES_H_
