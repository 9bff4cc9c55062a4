// What one form shows of an archive, every other does, to the last attribute; directories are the
// measure.
#include <array>
#include <random>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "storage/forms/testing/every_form.h"
#include "storage/forms/testing/kept_layer.h"
#include "storage/forms/testing/tree_snapshot.h"
#include "storage/layer/testing/tar_builder.h"

namespace crisp::storage {
namespace {

class LayerAgreementTest : public ::testing::TestWithParam<const LayerForm*> {
 protected:
  void SetUp() override {
    const absl::Status able = GetParam()->Probe(dir_.path());
    if (!able.ok()) GTEST_SKIP() << able;
  }
  absl::StatusOr<KeptLayer> AsDirectories(const std::string& tar) {
    return Keep(Directories(), dir_.path() + "/directories", tar);
  }
  absl::StatusOr<KeptLayer> AsForm(const std::string& tar, ApplyLimits limits = {}) {
    return Keep(*GetParam(), dir_.path() + "/form", tar, limits);
  }
  // True if the archive is a layer.
  bool Compare(const std::string& tar) {
    const absl::StatusOr<KeptLayer> expected = AsDirectories(tar);
    const absl::StatusOr<KeptLayer> actual = AsForm(tar);
    EXPECT_EQ(expected.ok(), actual.ok()) << expected.status() << " " << actual.status();
    if (!expected.ok() || !actual.ok()) return false;
    EXPECT_EQ(expected->content.inodes, actual->content.inodes);
    EXPECT_EQ(expected->content.bytes, actual->content.bytes);
    EXPECT_EQ(expected->content.entries, actual->content.entries);
    EXPECT_EQ(expected->content.opaque_root, actual->content.opaque_root);
    const std::set<std::string> implicit(actual->content.implicit_dirs.begin(),
                                         actual->content.implicit_dirs.end());
    EXPECT_EQ(Lines(*actual, implicit), Lines(*expected, implicit));
    return true;
  }
  static std::map<std::string, std::string> Lines(const KeptLayer& layer,
                                                  const std::set<std::string>& timeless) {
    return Snapshot(PathOf(layer.root.lower) + "/.", timeless).lines();
  }

  TempDir dir_;
};

TEST_P(LayerAgreementTest, ShowsEveryKindOfEntry) {
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
  Compare(tar.Build());
}

TEST_P(LayerAgreementTest, HoldsManyNamesInADirectory) {
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

TEST_P(LayerAgreementTest, KeepsAccessControlLists) {
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
TEST_P(LayerAgreementTest, AgreesOnRandomArchives) {
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
    fine += Compare(tar.Build()) ? 1 : 0;
  }
  EXPECT_GT(fine, 30);
}

TEST_P(LayerAgreementTest, RefusesTheSame) {
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
    const absl::Status expected = AsDirectories(tar.Build()).status();
    EXPECT_FALSE(expected.ok());
    EXPECT_EQ(AsForm(tar.Build()).status().code(), expected.code()) << expected;
  }
  EXPECT_THAT(AsForm(TarBuilder().File("a").File("b").Build(), {.max_entries = 1}),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_P(LayerAgreementTest, ReadsSparseFiles) {
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
  // The holes take no room.
  uint64_t blocks = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_.path() + "/form")) {
    struct stat st {};
    ASSERT_EQ(lstat(entry.path().c_str(), &st), 0);
    blocks += static_cast<uint64_t>(st.st_blocks);
  }
  EXPECT_LT(blocks * 512, 200'000u);
}

INSTANTIATE_TEST_SUITE_P(Forms,
                         LayerAgreementTest,
                         ::testing::ValuesIn(LayerForms().begin() + 1, LayerForms().end()),
                         NameOfForm);

}  // namespace
}  // namespace crisp::storage
