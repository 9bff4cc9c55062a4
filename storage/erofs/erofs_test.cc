// What is EROFS' own: the format as others read it, what is refused of it, memory. What an archive
// becomes in it is tested with that of all forms, in storage/forms.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cstring>
#include <initializer_list>
#include <map>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "storage/erofs/erofs_check.h"
#include "storage/erofs/erofs_format.h"
#include "storage/erofs/erofs_mount.h"
#include "storage/erofs/erofs_sink.h"
#include "storage/forms/testing/tree_snapshot.h"
#include "storage/layer/layer_tar.h"
#include "storage/layer/testing/byte_source.h"
#include "storage/layer/testing/tar_builder.h"

namespace crisp::storage {
namespace {

class ErofsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    umask(0);
    static const absl::Status able = ProbeErofs("/tmp");
    if (!able.ok()) GTEST_SKIP() << able;
    ASSERT_OK(MakeDirs(mounted()));
  }
  void TearDown() override { Unmount(); }
  void Unmount() { (void)umount2(mounted().c_str(), MNT_DETACH); }
  std::string mounted() const { return dir_.path() + "/mounted"; }
  std::string image() const { return dir_.path() + "/image"; }

  absl::StatusOr<LayerContent> Write(const std::string& tar,
                                     ErofsOptions options = {.uuid = {1}},
                                     ApplyLimits limits = {},
                                     uint64_t max_memory = ErofsSink::kMaxMemory) {
    CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, Open(image(), O_RDWR | O_CREAT | O_TRUNC, 0600));
    ErofsSink sink(fd.get(), options, limits, max_memory);
    CRISP_RETURN_IF_ERROR(ApplyTar(FromBytes(tar), sink));
    return sink.Finish();
  }
  absl::Status Mount() {
    CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, Open(image(), O_RDONLY));
    CRISP_RETURN_IF_ERROR(CheckErofs(fd.get()).status());
    CRISP_ASSIGN_OR_RETURN(const UniqueFd mount, MountErofs(fd.get()));
    if (move_mount(mount.get(), "", AT_FDCWD, mounted().c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
      return absl::InternalError("move_mount");
    }
    return absl::OkStatus();
  }
  TempDir dir_;
};

// A block may be as large as a page.
TEST_F(ErofsTest, ShowsTheSameInBlocksOfEverySize) {
  TarBuilder tar;
  tar.File("empty", "").File("block", std::string(4096, 'b')).File("more", std::string(4097, 'm'));
  tar.File("d/big", std::string(300'000, 'x') + "end").Symlink("long", std::string(90, 'l'));
  std::map<std::string, std::string> shown;
  for (const int bits : {9, 12}) {
    ASSERT_OK_AND_ASSIGN(const LayerContent content,
                         Write(tar.Build(), {.block_bits = bits, .uuid = {1}}));
    ASSERT_OK(Mount());
    const std::set<std::string> implicit(content.implicit_dirs.begin(),
                                         content.implicit_dirs.end());
    const std::map<std::string, std::string> lines = Snapshot(mounted(), implicit).lines();
    EXPECT_EQ(lines.size(), 7u);
    if (bits == 9) shown = lines;
    EXPECT_EQ(lines, shown);
    Unmount();
  }
}

TEST_F(ErofsTest, BoundsItsMemory) {
  TarBuilder tar;
  for (int i = 0; i < 2000; ++i) tar.File(absl::StrCat("f", i), "");
  EXPECT_THAT(
      Write(tar.Build(), {}, {}, 100'000),
      StatusIs(absl::StatusCode::kResourceExhausted, ::testing::HasSubstr("too many files")));
  EXPECT_OK(Write(tar.Build(), {}, {}, 400'000));
}

// Another implementation of the format finds nothing wrong. Debian's knows blocks of 4 KiB alone.
TEST_F(ErofsTest, PassesFsck) {
  if (system("command -v fsck.erofs >/dev/null") != 0) GTEST_SKIP() << "no fsck.erofs";
  TarBuilder tar;
  for (int i = 0; i < 500; ++i) tar.File(absl::StrCat("d/f", i), std::string(17u * i, 'x'));
  tar.Symlink("s", "d")
      .Hardlink("h", "d/f1")
      .Add({.name = "null", .type = '3', .major = 1, .minor = 3});
  tar.Add({.name = "x", .pax = {{"SCHILY.xattr.user.k", "v"}}}).File(".wh.gone", "");
  tar.Dir("opaque").File("opaque/.wh..wh..opq", "");
  ASSERT_OK(Write(tar.Build(), {.block_bits = 12, .uuid = {1}}));
  const std::string out = dir_.path() + "/extracted";
  EXPECT_EQ(system(absl::StrCat("fsck.erofs --extract=", out, " ", image(), " >", dir_.path(),
                                "/fsck.log 2>&1")
                       .c_str()),
            0)
      << *ReadFile(dir_.path() + "/fsck.log");
  EXPECT_EQ(ReadFile(out + "/d/f100")->size(), 1700u);
}

TEST_F(ErofsTest, KnowsADamagedImage) {
  ASSERT_OK(Write(TarBuilder().File("f", std::string(10'000, 'x')).Build()));
  const auto summary = [&]() -> absl::StatusOr<LayerSeal> {
    CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, Open(image(), O_RDONLY));
    return CheckErofs(fd.get());
  };
  ASSERT_OK_AND_ASSIGN(const LayerSeal whole, summary());
  const std::string bytes = *ReadFile(image());
  EXPECT_EQ(whole.size, bytes.size());
  const auto with = [&](size_t at, char byte) {
    std::string changed = bytes;
    changed[at] = byte;
    EXPECT_OK(AtomicWriteFile(image(), changed, 0600, Durability::kNone));
    return summary();
  };
  EXPECT_EQ(with(5000, 'x')->digest, whole.digest);
  EXPECT_NE(with(bytes.size() - 4000, 'y')->digest, whole.digest);
  for (const size_t field : {offsetof(ErofsSuper, magic), offsetof(ErofsSuper, feature_incompat),
                             offsetof(ErofsSuper, extra_devices), offsetof(ErofsSuper, blocks),
                             offsetof(ErofsSuper, block_bits), offsetof(ErofsSuper, root_nid)}) {
    EXPECT_THAT(with(kErofsSuperOffset + field, 99), StatusIs(absl::StatusCode::kDataLoss))
        << field;
  }
  ASSERT_OK(
      AtomicWriteFile(image(), bytes.substr(0, bytes.size() - 4096), 0600, Durability::kNone));
  EXPECT_THAT(summary(), StatusIs(absl::StatusCode::kDataLoss));
}

// Whatever is changed in an image's metadata: it is refused, or as good as any that the kernel
// reads.
TEST_F(ErofsTest, TakesNothingThatTheUnpackerDoesNotWrite) {
  TarBuilder tar;
  for (int i = 0; i < 30; ++i) tar.File(absl::StrCat("d/f", i), std::string(20u * i, 'x'));
  tar.Dir("d/e").Symlink("s", "d").Hardlink("h", "d/f1").Dir("o").File("o/.wh..wh..opq", "");
  tar.Add({.name = "x", .pax = {{"SCHILY.xattr.user.k", "v"}}}).File(".wh.gone", "");
  ASSERT_OK(Write(tar.Build()));
  const std::string bytes = *ReadFile(image());
  ErofsSuper super;
  memcpy(&super, bytes.data() + kErofsSuperOffset, sizeof(super));
  const size_t meta = size_t{super.meta_block} << super.block_bits;
  const auto refused = [&](const std::string& changed) {
    EXPECT_OK(AtomicWriteFile(image(), changed, 0600, Durability::kNone));
    const UniqueFd fd = Open(image(), O_RDONLY).value();
    return absl::IsDataLoss(CheckErofs(fd.get()).status());
  };
  const auto with = [&](size_t at, auto value) {
    std::string changed = bytes;
    memcpy(changed.data() + at, &value, sizeof(value));
    return changed;
  };
  const size_t root = meta + sizeof(ErofsInode), child = root + sizeof(ErofsInode);
  ErofsInode first;
  memcpy(&first, bytes.data() + root, sizeof(first));
  const size_t names = size_t{first.start} << super.block_bits;
  EXPECT_FALSE(refused(bytes));
  for (const uint16_t format : std::initializer_list<uint16_t>{
           3, 7, 9, 2, 0x81}) {  // compressed, in chunks, compact, unknown
    EXPECT_TRUE(refused(with(child + offsetof(ErofsInode, format), format))) << format;
  }
  EXPECT_TRUE(refused(with(root + offsetof(ErofsInode, start), first.start + 1)));
  EXPECT_TRUE(refused(with(root + offsetof(ErofsInode, size), first.size + 512)));
  EXPECT_TRUE(refused(with(root + offsetof(ErofsInode, mode), uint16_t{0100755})));
  for (const uint64_t nid :
       {0ul, 3ul, 1ul << 40, 2ul}) {  // nothing, half an inode, beyond, the root
    for (size_t entry = 2; entry < 4; ++entry) {
      EXPECT_TRUE(refused(with(names + entry * sizeof(ErofsDirent), nid))) << nid;
    }
  }
  const size_t opaque = bytes.find("overlay.opaque", meta);
  ASSERT_NE(opaque, std::string::npos);
  EXPECT_TRUE(refused(std::string(bytes).replace(opaque, 14, "overlay.redire")));
  EXPECT_TRUE(refused(std::string(bytes).replace(opaque + 14, 1, "x")));
  std::mt19937 random(7);
  int kept = 0;
  for (int round = 0; round < 400 && !HasFailure(); ++round) {
    std::string changed = bytes;
    changed[meta + random() % (bytes.size() - meta)] = static_cast<char>(random());
    if (refused(changed)) continue;
    if (++kept % 8 != 0) continue;
    SCOPED_TRACE(round);
    ASSERT_OK(Mount());
    EXPECT_GE(Snapshot(mounted(), {}).lines().size(), 30u);
    Unmount();
  }
  EXPECT_GT(kept, 40);
  EXPECT_LT(kept, 390);
}

TEST_F(ErofsTest, TriesWhatItNeeds) {
  EXPECT_OK(ProbeErofs(dir_.path()));
  EXPECT_FALSE(ProbeErofs("/proc").ok());
}

}  // namespace
}  // namespace crisp::storage
