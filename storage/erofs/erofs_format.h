#ifndef CRISP_STORAGE_EROFS_EROFS_FORMAT_H_
#define CRISP_STORAGE_EROFS_EROFS_FORMAT_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace crisp::storage {

// The part of EROFS' on-disk format that crisp writes, little-endian: extended inodes with their
// extended attributes behind them, contents in one piece ("flat") or, for short symlinks, behind
// the inode ("inline"). None of the format's optional features. The kernel's
// Documentation/filesystems/erofs.rst describes it.

constexpr uint32_t kErofsMagic = 0xE0F5E1E2;
constexpr uint64_t kErofsSuperOffset = 1024;
constexpr uint32_t kErofsCompatMtime = 2;  // inodes have their modification times
constexpr uint64_t kErofsSlot = 32;     // an inode's number counts these from the metadata's start
constexpr uint16_t kErofsFlat = 0x1;    // ErofsInode::format: extended, contents at `start`
constexpr uint16_t kErofsInline = 0x5;  // extended, contents behind the inode
constexpr size_t kErofsXattrHeader = 12;  // before an inode's attributes

struct ErofsSuper {
  uint32_t magic;
  uint32_t checksum;  // unused without its feature
  uint32_t feature_compat;
  uint8_t block_bits;
  uint8_t extra_slots;
  uint16_t root_nid;
  uint64_t inodes;
  uint64_t build_time;
  uint32_t build_time_nsec;
  uint32_t blocks;
  uint32_t meta_block;
  uint32_t xattr_block;
  uint8_t uuid[16];
  uint8_t volume_name[16];
  uint32_t feature_incompat;
  uint16_t compression;
  uint16_t extra_devices;
  uint16_t device_slot;
  uint8_t dir_block_bits;
  uint8_t xattr_prefixes;
  uint32_t xattr_prefix_start;
  uint64_t packed_nid;
  uint8_t reserved[24];
};
static_assert(sizeof(ErofsSuper) == 128);

struct ErofsInode {
  uint16_t format;
  uint16_t xattr_count;  // 0 for none; else 1 + the attributes' bytes / 4
  uint16_t mode;
  uint16_t reserved;
  uint64_t size;
  uint32_t start;  // block of the contents, or a device's number
  uint32_t ino;
  uint32_t uid;
  uint32_t gid;
  int64_t mtime;
  uint32_t mtime_nsec;
  uint32_t links;
  uint8_t reserved2[16];
};
static_assert(sizeof(ErofsInode) == 64);

struct [[gnu::packed]] ErofsDirent {
  uint64_t nid;
  uint16_t name_offset;  // in its block
  uint8_t type;
  uint8_t reserved;
};
static_assert(sizeof(ErofsDirent) == 12);

constexpr uint64_t kErofsPage =
    4096;  // metadata begins, and the whole is long, a multiple of these
// Larger contents begin where pages of the file do: reading them takes no page twice.
constexpr uint64_t kErofsPageAligned = 64 << 10;

constexpr uint64_t ErofsAlignUp(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

// The place for contents of `size` bytes, if everything before `end` is taken.
constexpr uint64_t ErofsPlace(uint64_t end, uint64_t size, uint64_t block) {
  return ErofsAlignUp(end, size >= kErofsPageAligned && block < kErofsPage ? kErofsPage : block);
}

// The bytes of an inode's attributes, header included, by its xattr_count.
constexpr size_t ErofsXattrBytes(uint16_t xattr_count) {
  return xattr_count == 0 ? 0 : kErofsXattrHeader + size_t{4} * (xattr_count - 1u);
}

static_assert(std::endian::native == std::endian::little,
              "files are written as the machine has them");

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_EROFS_EROFS_FORMAT_H_
