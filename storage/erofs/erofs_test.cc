// Images that ErofsSink writes are mounted and compared with what DirectorySink makes of the same
// archives.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/safe_path.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "storage/erofs/erofs_check.h"
#include "storage/erofs/erofs_format.h"
#include "storage/erofs/erofs_mount.h"
#include "storage/erofs/erofs_sink.h"
#include "storage/layer/directory_sink.h"
#include "storage/layer/layer_tar.h"
#include "storage/layer/testing/tar_builder.h"
#include "storage/oci/digest.h"

namespace crisp::storage {
namespace {

absl::Status Feed(const std::string& bytes, LayerSink& sink) {
  size_t at = 0;
  auto source = [&](char* buffer, size_t size) -> absl::StatusOr<size_t> {
    const size_t n = std::min(size, bytes.size() - at);
    memcpy(buffer, bytes.data() + at, n);
    at += n;
    return n;
  };
  return ApplyTar(source, sink);
}

std::string XattrsOf(const std::string& path) {
  std::string names(XATTR_LIST_MAX, '\0');
  const ssize_t size = llistxattr(path.c_str(), names.data(), names.size());
  names.resize(size > 0 ? static_cast<size_t>(size) : 0);
  std::set<std::string> lines;
  for (absl::string_view name : absl::StrSplit(names, '\0', absl::SkipEmpty())) {
    std::string value(XATTR_SIZE_MAX, '\0');
    const ssize_t n =
        lgetxattr(path.c_str(), std::string(name).c_str(), value.data(), value.size());
    value.resize(n > 0 ? static_cast<size_t>(n) : 0);
    lines.insert(absl::StrCat(name, "=", absl::BytesToHexString(value)));
  }
  return absl::StrJoin(lines, ",");
}

// Everything that can be seen of a tree, by name; what time made (`now`) is left out.
class Snapshot {
 public:
  explicit Snapshot(const std::string& root, const std::set<std::string>& timeless)
      : timeless_(timeless) {
    Visit(root, ".");
  }
  const std::map<std::string, std::string>& lines() const { return lines_; }

 private:
  void Visit(const std::string& path, const std::string& name) {
    struct stat st {};
    ASSERT_EQ(lstat(path.c_str(), &st), 0) << path;
    std::string line = absl::StrFormat("%o %d:%d", st.st_mode, st.st_uid, st.st_gid);
    const bool whiteout = S_ISCHR(st.st_mode) && st.st_rdev == 0;
    // A directory that no entry described has the time of its making.
    const bool now =
        S_ISDIR(st.st_mode) && absl::FromTimeT(st.st_mtime) > absl::Now() - absl::Hours(1);
    if (!whiteout && !now && timeless_.count(name) == 0) {
      absl::StrAppend(&line, " @", st.st_mtim.tv_sec, ".", st.st_mtim.tv_nsec);
    }
    if (!S_ISDIR(st.st_mode)) absl::StrAppend(&line, " links ", st.st_nlink, " ", SameAs(st, name));
    if (S_ISREG(st.st_mode))
      absl::StrAppend(&line, " size ", st.st_size, " ", Sha256Digest(*ReadFile(path)));
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) absl::StrAppend(&line, " dev ", st.st_rdev);
    if (S_ISLNK(st.st_mode)) {
      char target[PATH_MAX] = {};
      ASSERT_GE(readlink(path.c_str(), target, sizeof(target)), 0);
      absl::StrAppend(&line, " -> ", target);
    }
    absl::StrAppend(&line, " {", XattrsOf(path), "}");
    lines_[name] = line;
    if (!S_ISDIR(st.st_mode)) return;
    std::vector<std::string> children = ListDir(path).value();
    std::sort(children.begin(), children.end());
    for (const std::string& child : children) {
      Visit(path + "/" + child, name == "." ? child : name + "/" + child);
    }
  }
  // Names of one inode are told by the first of them, in order of names.
  std::string SameAs(const struct stat& st, const std::string& name) {
    std::string& first = names_[st.st_ino];
    if (first.empty() || name < first) first = name;
    return st.st_nlink > 1 ? absl::StrCat("inode of ", first) : "";
  }

  const std::set<std::string> timeless_;
  std::map<std::string, std::string> lines_;
  std::map<ino_t, std::string> names_;
};

class ErofsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    umask(0);
    static const absl::Status able = ProbeErofs("/tmp");
    if (!able.ok()) GTEST_SKIP() << able;
    for (const std::string& dir : {directory(), mounted()}) ASSERT_OK(MakeDirs(dir));
  }
  void TearDown() override { Unmount(); }
  void Unmount() { (void)umount2(mounted().c_str(), MNT_DETACH); }
  std::string directory() const { return dir_.path() + "/directory"; }
  std::string mounted() const { return dir_.path() + "/mounted"; }
  std::string image() const { return dir_.path() + "/image"; }

  absl::StatusOr<LayerContent> Write(const std::string& tar,
                                     ErofsImageOptions options = {.uuid = {1}},
                                     ApplyLimits limits = {},
                                     uint64_t max_memory = ErofsSink::kMaxMemory) {
    CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, Open(image(), O_RDWR | O_CREAT | O_TRUNC, 0600));
    ErofsSink sink(fd.get(), options, limits, max_memory);
    CRISP_RETURN_IF_ERROR(Feed(tar, sink));
    return sink.Finish();
  }
  absl::Status Mount() {
    CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, Open(image(), O_RDONLY));
    CRISP_RETURN_IF_ERROR(SummarizeErofs(fd.get()).status());
    CRISP_ASSIGN_OR_RETURN(const UniqueFd mount, MountErofs(fd.get()));
    if (move_mount(mount.get(), "", AT_FDCWD, mounted().c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
      return absl::InternalError("move_mount");
    }
    return absl::OkStatus();
  }
  // As the unpacker's other end does, by LayerUnpack.
  absl::StatusOr<LayerContent> MakeDirectory(const std::string& tar, ApplyLimits limits = {}) {
    CRISP_RETURN_IF_ERROR(RemoveTree(directory()));
    CRISP_RETURN_IF_ERROR(MakeDirs(directory()));
    CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, Open(directory(), O_RDONLY | O_DIRECTORY));
    DirectorySink sink(fd.get(), limits);
    CRISP_RETURN_IF_ERROR(Feed(tar, sink));
    CRISP_ASSIGN_OR_RETURN(const LayerContent content, sink.Finish());
    for (const std::string& opaque : content.opaque_dirs) {
      const UniqueFd dir(OpenInRoot(fd.get(), opaque.empty() ? "." : opaque, O_RDONLY | O_DIRECTORY)
                             .value_or(UniqueFd()));
      if (!dir) continue;
      EXPECT_EQ(fsetxattr(dir.get(), "trusted.overlay.opaque", "y", 1, 0), 0);
    }
    return content;
  }
  // Both forms of the archive are one.
  void Compare(const std::string& tar, const ErofsImageOptions& options = {.uuid = {1}}) {
    const absl::StatusOr<LayerContent> as_directory = MakeDirectory(tar);
    const absl::StatusOr<LayerContent> as_image = Write(tar, options);
    ASSERT_EQ(as_directory.ok(), as_image.ok())
        << as_directory.status() << " " << as_image.status();
    if (!as_image.ok()) return;
    EXPECT_EQ(as_directory->inodes, as_image->inodes);
    EXPECT_EQ(as_directory->bytes, as_image->bytes);
    EXPECT_EQ(as_directory->entries, as_image->entries);
    ASSERT_OK(Mount());
    const std::set<std::string> implicit(as_image->implicit_dirs.begin(),
                                         as_image->implicit_dirs.end());
    std::map<std::string, std::string> expected = Snapshot(directory(), implicit).lines();
    EXPECT_EQ(Snapshot(mounted(), implicit).lines(), expected);
    Unmount();
  }

  TempDir dir_;
};

TEST_F(ErofsTest, ShowsWhatADirectoryWould) {
  const std::string capability(
      "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00",
      20);
  TarBuilder tar;
  tar.Add({.name = "./", .type = '5', .mode = 0711, .uid = 9});
  tar.Add({.name = "d/", .type = '5', .mode = 02775, .uid = 3, .gid = 4, .mtime = 1234});
  tar.Add({.name = "d/su",
           .content = "#!",
           .mode = 04755,
           .uid = 100'000,
           .gid = 200'000,
           .pax = {{"mtime", "1500000000.123456789"}}});
  tar.Add({.name = "capable",
           .mode = 0755,
           .pax = {{"SCHILY.xattr.security.capability", capability},
                   {"SCHILY.xattr.user.note", std::string(700, 'n')},
                   {"SCHILY.xattr.user.overlay.opaque", "y"},
                   {"SCHILY.xattr.trusted.overlay.redirect", "/etc"}}});
  tar.Add({.name = "fifo", .type = '6', .mode = 0640});
  tar.Add({.name = "null", .type = '3', .mode = 0666, .major = 1, .minor = 3});
  tar.Add({.name = "disk", .type = '4', .mode = 0660, .major = 259, .minor = 70'000});
  tar.Symlink("d/link", "../../../outside").Symlink("long", "/" + std::string(90, 'l'));
  tar.Hardlink("hard", "d/su").Hardlink("soft", "d/link").Hardlink("again", "d/su");
  tar.File("empty", "").File("block", std::string(512, 'b')).File("more", std::string(513, 'm'));
  tar.File("big", std::string(300'000, 'x') + "end");
  tar.Dir("a").File("a/.wh.gone", "").File("a/.wh..wh..opq", "").File(".wh.dir", "").Dir("dir");
  tar.File("implicit/deep/er", "x").Dir("-dash").File("!before the dot", "1").File("~after", "2");
  for (const int bits : {9, 12}) Compare(tar.Build(), {.block_bits = bits, .uuid = {1}});
}

TEST_F(ErofsTest, HoldsManyNamesInADirectory) {
  TarBuilder tar;
  for (int i = 0; i < 3000; ++i) tar.File(absl::StrCat("f", i), absl::StrCat(i));
  for (int i = 0; i < 40; ++i) {
    tar.Add({.name = "x", .pax = {{"path", absl::StrCat("long/", std::string(250, 'n'), i)}}});
    tar.Add(
        {.name = "x",
         .type = '2',
         .pax = {{"path", absl::StrCat("s", i)}, {"linkpath", std::string(100u * (i + 1u), 's')}}});
  }
  Compare(tar.Build());
}

TEST_F(ErofsTest, KeepsAccessControlLists) {
  const auto acl = [](std::vector<std::array<uint16_t, 2>> entries) {
    std::string bytes("\x02\0\0\0", 4);
    for (const auto& [tag, permissions] : entries) {
      const uint32_t id = tag == 2 || tag == 8 ? 1000 : ~0u;
      bytes.append(reinterpret_cast<const char*>(&tag), 2);
      bytes.append(reinterpret_cast<const char*>(&permissions), 2);
      bytes.append(reinterpret_cast<const char*>(&id), 4);
    }
    return bytes;
  };
  const std::string full = acl({{1, 6}, {2, 7}, {4, 5}, {16, 4}, {32, 1}});
  const std::string minimal = acl({{1, 6}, {4, 5}, {32, 1}});
  TarBuilder tar;
  tar.Add({.name = "f", .mode = 0777, .pax = {{"SCHILY.xattr.system.posix_acl_access", full}}});
  tar.Add({.name = "g", .mode = 0777, .pax = {{"SCHILY.xattr.system.posix_acl_access", minimal}}});
  tar.Add({.name = "d",
           .type = '5',
           .mode = 0750,
           .pax = {{"SCHILY.xattr.system.posix_acl_default", full},
                   {"SCHILY.xattr.system.posix_acl_access", full}}});
  tar.File("d/inside", "x");
  Compare(tar.Build());
  for (const std::string& bad :
       {acl({{1, 6}, {2, 7}, {4, 5}, {32, 1}}), acl({{4, 5}, {1, 6}, {32, 1}}), acl({}),
        full.substr(1), std::string("x")}) {
    Compare(TarBuilder()
                .Add({.name = "f", .pax = {{"SCHILY.xattr.system.posix_acl_access", bad}}})
                .Build());
  }
  for (const size_t size : {4u, 12u, 20u, 24u}) {
    std::string capability("\x01\0\0\x02", 4);
    capability.resize(size);
    Compare(TarBuilder()
                .Add({.name = "f", .pax = {{"SCHILY.xattr.security.capability", capability}}})
                .Build());
  }
}

// Archives in which names collide in all ways: what replaces what is the same in both forms.
TEST_F(ErofsTest, AgreesOnRandomArchives) {
  std::mt19937 random(20'241'117);
  const auto pick = [&](uint32_t n) { return static_cast<int>(random() % n); };
  const char* const parts[] = {"a", "b", "c", "s", ".wh.a", ".wh.b", ".wh..wh..opq"};
  const auto path = [&](bool plain) {
    std::string text = parts[pick(4)];
    for (int depth = pick(3); depth > 0; --depth) absl::StrAppend(&text, "/", parts[pick(4)]);
    if (!plain) absl::StrAppend(&text, "/", parts[pick(7)]);
    return text;
  };
  const char* const targets[] = {"a",  "../b", "/c",       "s",       "/",
                                 "..", "a/b",  "./c/../a", "nowhere", "b/"};
  int fine = 0;
  for (int round = 0; round < 120 && !HasFailure(); ++round) {
    TarBuilder tar;
    for (int entry = pick(24); entry >= 0; --entry) {
      TarBuilder::Member member{.name = path(false),
                                .mode = static_cast<unsigned>(pick(01000)),
                                .uid = static_cast<unsigned>(pick(3)),
                                .mtime = 1'000'000'000ul + random() % 1000};
      const int kind = pick(12);
      if (kind < 4)
        member.content = std::string(random() % 1500, static_cast<char>('a' + pick(26)));
      if (kind >= 4 && kind < 7) member.type = '5';
      if (kind == 7) member = {.name = path(true), .type = '2', .link = targets[pick(10)]};
      if (kind == 8) member = {.name = path(true), .type = '1', .link = path(true)};
      if (kind == 9) member.type = "346"[pick(3)];
      if (kind == 10) member.pax = {{"SCHILY.xattr.user.k", absl::StrCat("v", pick(3))}};
      if (kind == 11) member = {.name = "./", .type = '5', .mode = 0751};
      tar.Add(member);
    }
    SCOPED_TRACE(round);
    const std::string bytes = tar.Build();
    Compare(bytes);
    fine += Write(bytes).ok() ? 1 : 0;
  }
  EXPECT_GT(fine, 30);
}

TEST_F(ErofsTest, ReadsSparseFiles) {
  std::string map = "2\n1048576\n4\n1572864\n600\n";
  map.resize(512);
  std::string data = "data" + std::string(600, 'z');
  TarBuilder tar;
  tar.File("before", "1");
  tar.Add({.name = "GNUSparseFile.0/sparse",
           .content = map + data,
           .pax = {{"GNU.sparse.major", "1"},
                   {"GNU.sparse.minor", "0"},
                   {"GNU.sparse.name", "sparse"},
                   {"GNU.sparse.realsize", "2097152"}}});
  tar.File("after", "2");
  Compare(tar.Build());
  struct stat st {};
  ASSERT_EQ(stat(image().c_str(), &st), 0);
  EXPECT_GT(st.st_size, 2'000'000);
  EXPECT_LT(st.st_blocks * 512, 200'000);
}

TEST_F(ErofsTest, RefusesWhatDirectoriesRefuse) {
  std::string deep;
  for (int i = 0; i < 600; ++i) deep += "d/";
  const TarBuilder bad[] = {
      TarBuilder().File("../outside", "evil"),
      TarBuilder().File("a/..", "evil"),
      TarBuilder().Hardlink("h", "../outside"),
      TarBuilder().Hardlink("a", "b").Hardlink("b", "a"),
      TarBuilder().Dir("d").Hardlink("h", "d"),
      TarBuilder().Hardlink("h", "."),
      TarBuilder().Dir("d").File("d/f").Hardlink("d", "d/f"),
      TarBuilder().File(".wh.."),
      TarBuilder().File("."),
      TarBuilder().Add({.name = "x", .type = '5', .pax = {{"path", deep}}}),
      TarBuilder().Add({.name = "x", .pax = {{"path", std::string(5000, 'n')}}}),
      TarBuilder().Add({.name = "x", .pax = {{"path", std::string(300, 'n')}}}),
      TarBuilder().Add({.name = "x", .type = '2', .pax = {{"linkpath", std::string(4096, 'n')}}}),
      TarBuilder().Symlink("s", "").File("s"),
  };
  for (const TarBuilder& tar : bad) {
    const absl::Status as_directory = MakeDirectory(tar.Build()).status();
    EXPECT_FALSE(as_directory.ok());
    EXPECT_EQ(Write(tar.Build()).status().code(), as_directory.code()) << as_directory;
  }
  EXPECT_THAT(Write(TarBuilder().File("a").File("b").Build(), {}, {.max_entries = 1}),
              StatusIs(absl::StatusCode::kResourceExhausted));
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
  const auto summary = [&]() -> absl::StatusOr<ErofsSummary> {
    CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, Open(image(), O_RDONLY));
    return SummarizeErofs(fd.get());
  };
  ASSERT_OK_AND_ASSIGN(const ErofsSummary whole, summary());
  const std::string bytes = *ReadFile(image());
  EXPECT_EQ(whole.size, bytes.size());
  const auto with = [&](size_t at, char byte) {
    std::string changed = bytes;
    changed[at] = byte;
    EXPECT_OK(AtomicWriteFile(image(), changed, 0600, Durability::kNone));
    return summary();
  };
  EXPECT_EQ(with(5000, 'x')->metadata_digest, whole.metadata_digest);
  EXPECT_NE(with(bytes.size() - 4000, 'y')->metadata_digest, whole.metadata_digest);
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
    return absl::IsDataLoss(SummarizeErofs(fd.get()).status());
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
  for (const uint16_t format : {3, 7, 9, 2, 0x81}) {  // compressed, in chunks, compact, unknown
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
