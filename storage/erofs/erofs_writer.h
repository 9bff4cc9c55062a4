#ifndef CRISP_STORAGE_EROFS_EROFS_WRITER_H_
#define CRISP_STORAGE_EROFS_EROFS_WRITER_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/erofs/erofs_tree.h"

namespace crisp::storage {

struct ErofsOptions {
  // The bits of a block's size, at least 9. Every file begins with a block, so small blocks waste
  // little. A machine can mount files whose blocks are at most its page size.
  int block_bits = 9;
  std::array<uint8_t, 16> uuid{};  // overlayfs tells the layers of a stack apart by it
};

// Writes an EROFS image to an empty file: contents as they come, then all metadata in one piece,
// whose start is in ErofsSuper::meta_block, then the super block. Not thread-safe.
class ErofsWriter {
 public:
  // `fd` stays the caller's.
  ErofsWriter(int fd, const ErofsOptions& options);

  // Reserves room for contents of `size` bytes, which are zeros until written. Returns its first
  // block. ResourceExhausted if the file would be larger than the format allows.
  absl::StatusOr<uint32_t> Reserve(uint64_t size);
  // `offset` counts from the start of that block.
  absl::Status Write(uint32_t block, uint64_t offset, absl::string_view bytes);
  // Called once, when all contents are written. Returns the file's size. Changes `tree` where it
  // knows less than the file: a directory's contents.
  absl::StatusOr<uint64_t> Finish(ErofsTree& tree);

 private:
  struct Layout {
    std::vector<uint32_t> order;  // nodes as their inodes come
    std::vector<uint32_t> nids;   // by node
    uint64_t size = 0;            // of the inodes
    uint64_t directories = 0;
  };
  absl::StatusOr<Layout> LayOut(ErofsTree& tree) const;
  void PlaceInode(const ErofsTree& tree, uint32_t id, Layout& layout) const;
  absl::Status WriteInodes(const ErofsTree& tree, const Layout& layout, uint64_t meta);
  absl::Status WriteDirectory(const ErofsTree& tree, const Layout& layout, uint32_t id);
  absl::Status WriteSuper(const Layout& layout, uint64_t meta);
  absl::Status WriteAt(uint64_t offset, absl::string_view bytes);
  absl::Status Flush();
  uint64_t block() const { return uint64_t{1} << options_.block_bits; }

  const int fd_;
  const ErofsOptions options_;
  uint64_t end_;        // of what is reserved
  std::string buffer_;  // what comes at buffer_at_
  uint64_t buffer_at_ = 0;
  uint64_t written_ = 0;  // nothing was ever written from this offset on
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_EROFS_EROFS_WRITER_H_
