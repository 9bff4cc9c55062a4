#include "storage/unpack/layer_unpack.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/testing/cancelled_wait.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "storage/erofs/erofs_check.h"
#include "storage/erofs/erofs_mount.h"
#include "storage/forms/layer_forms.h"
#include "storage/layer/directory_form.h"
#include "storage/layer/testing/tar_builder.h"
#include "storage/oci/digest.h"

namespace crisp::storage {
namespace {

using ::testing::HasSubstr;

class LayerUnpackTest : public ::testing::Test {
 protected:
  absl::StatusOr<UnpackResult> Unpack(const std::string& bytes, UnpackOptions options = {}) {
    CRISP_ASSIGN_OR_RETURN(UniqueFd target, Open(dir_.path(), O_RDONLY | O_DIRECTORY));
    CRISP_ASSIGN_OR_RETURN(const auto broker, UnpackBroker::Start(CRISP_UNPACKER));
    CRISP_ASSIGN_OR_RETURN(auto unpack,
                           LayerUnpack::Start(*broker, Directories(), target.get(), options));
    CRISP_RETURN_IF_ERROR(unpack->Write(bytes, Operation()));
    return unpack->Finish(Operation());
  }
  TempDir dir_;
};

TEST_F(LayerUnpackTest, UnpacksInAConfinedChild) {
  TarBuilder tar;
  tar.Dir("etc").File("etc/passwd", "root").Dir("opaque").File("opaque/.wh..wh..opq", "");
  tar.File(".wh.gone", "").Hardlink("hard", "etc/passwd").Symlink("sym", "etc");
  tar.Add({.name = "null", .type = '3', .mode = 0666, .major = 1, .minor = 3});
  tar.Add({.name = "su", .mode = 04755, .uid = 7, .pax = {{"SCHILY.xattr.user.k", "v"}}});
  tar.Add({.name = "x", .pax = {{"path", "caf\xc3\xa9"}}});
  tar.File("etc/passwd", "replaced").Dir("gone2").File("gone2/f").File("gone2", "file");
  const std::string bytes = tar.Build() + std::string(10240, '\0');
  const std::string gzip = Gzip(bytes);
  ASSERT_OK_AND_ASSIGN(const UnpackResult result, Unpack(gzip));
  EXPECT_EQ(result.diff_id, Sha256Digest(bytes));
  EXPECT_EQ(result.compressed_bytes, gzip.size());
  EXPECT_EQ(result.archive_bytes, bytes.size());
  EXPECT_EQ(*ReadFile(dir_.path() + "/etc/passwd"), "replaced");
  char value[8] = {};
  EXPECT_EQ(getxattr((dir_.path() + "/opaque").c_str(), "trusted.overlay.opaque", value, 8), 1);
  EXPECT_EQ(value[0], 'y');
  struct stat st {};
  ASSERT_EQ(stat((dir_.path() + "/su").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 04755u);
  EXPECT_EQ(stat((dir_.path() + "/caf\xc3\xa9").c_str(), &st), 0);
}

TEST_F(LayerUnpackTest, TellsImplicitDirectories) {
  TarBuilder tar;
  tar.File("a/b/f").Dir("a").File("late/f").Dir("late");       // described behind what is in them
  tar.Dir("real").Symlink("link", "real").File("link/sub/f");  // its real name counts
  tar.File("gone/f").File("gone", "a file").File("x/old/f").File("x/old", "a file");
  ASSERT_OK_AND_ASSIGN(const UnpackResult result, Unpack(tar.Build()));
  EXPECT_THAT(result.implicit_dirs, ::testing::UnorderedElementsAre(".", "a/b", "real/sub", "x"));
}

TEST_F(LayerUnpackTest, UnpacksIntoAFile) {
  if (!ProbeErofs(dir_.path()).ok()) GTEST_SKIP() << ProbeErofs(dir_.path());
  TarBuilder tar;
  tar.Dir("etc").File("etc/passwd", "root").File("a/b/f").Symlink("link", "a").File("link/c/f");
  for (int i = 0; i < 3000; ++i) tar.File(absl::StrCat("many/", i), std::string(1000, 'x'));
  tar.Dir("opaque").File("opaque/.wh..wh..opq", "");
  const std::string bytes = tar.Build();
  ASSERT_OK_AND_ASSIGN(const UniqueFd image, Open(dir_.path() + "/image", O_RDWR | O_CREAT, 0600));
  ASSERT_OK_AND_ASSIGN(const auto broker, UnpackBroker::Start(CRISP_UNPACKER));
  ASSERT_OK_AND_ASSIGN(auto unpack,
                       LayerUnpack::Start(*broker, *FindLayerForm("erofs"), image.get()));
  ASSERT_OK(unpack->Write(Gzip(bytes), Operation()));
  ASSERT_OK_AND_ASSIGN(const UnpackResult result, unpack->Finish(Operation()));
  EXPECT_EQ(result.diff_id, Sha256Digest(bytes));
  EXPECT_THAT(result.implicit_dirs, ::testing::ElementsAre(".", "a", "a/b", "a/c", "many"));
  ASSERT_OK_AND_ASSIGN(const LayerSeal summary, CheckErofs(image.get()));
  EXPECT_EQ(summary.size, result.disk_bytes);
  ASSERT_OK_AND_ASSIGN(const UniqueFd mount, MountErofs(image.get()));
  EXPECT_EQ(*ReadFileAt(mount.get(), "etc/passwd"), "root");
  EXPECT_EQ(ReadFileAt(mount.get(), "many/2999")->size(), 1000u);
  char value[8] = {};
  const std::string opaque = absl::StrCat("/proc/self/fd/", mount.get(), "/opaque");
  EXPECT_EQ(getxattr(opaque.c_str(), "trusted.overlay.opaque", value, 8), 1);
}

// Both ends are of one build; where they are not, a pull fails and says why.
TEST_F(LayerUnpackTest, AFormThatTheUnpackerDoesNotKnowIsAnError) {
  struct Foreign : DirectoryForm {
    const char* name() const override { return "foreign"; }
  };
  const Foreign foreign;
  ASSERT_OK_AND_ASSIGN(const UniqueFd target, Open(dir_.path(), O_RDONLY | O_DIRECTORY));
  ASSERT_OK_AND_ASSIGN(const auto broker, UnpackBroker::Start(CRISP_UNPACKER));
  ASSERT_OK_AND_ASSIGN(const auto unpack, LayerUnpack::Start(*broker, foreign, target.get()));
  EXPECT_THAT(unpack->Finish(Operation()),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("form 'foreign'")));
  EXPECT_THAT(*ListDir(dir_.path()), ::testing::IsEmpty());
}

TEST_F(LayerUnpackTest, MovesMuchData) {
  TarBuilder tar;
  std::string content;
  for (int i = 0; i < 2'000'000; ++i) absl::StrAppend(&content, i, ",");
  for (int i = 0; i < 4; ++i) tar.File(absl::StrCat("big", i), content);
  ASSERT_OK_AND_ASSIGN(const UnpackResult result, Unpack(tar.Build()));
  EXPECT_EQ(result.bytes, 4 * content.size());
  EXPECT_EQ(*ReadFile(dir_.path() + "/big3", 64 << 20), content);
}

TEST_F(LayerUnpackTest, TellsWhatIsWrong) {
  const std::string gzip = Gzip(TarBuilder().File("f", std::string(100'000, 'x')).Build());
  EXPECT_THAT(Unpack(gzip.substr(0, gzip.size() / 2)), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Unpack(TarBuilder().File("../f").Build()),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("../f")));
  EXPECT_THAT(Unpack(gzip, {.max_bytes = 1000}), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(Unpack(gzip, {.min_free_bytes = uint64_t{1} << 60}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  const std::string bad = TarBuilder().File("../f").Build() + std::string(32 << 20, 'x');
  EXPECT_THAT(Unpack(bad), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(LayerUnpackTest, CancelEndsIt) {
  ASSERT_OK_AND_ASSIGN(UniqueFd target, Open(dir_.path(), O_RDONLY | O_DIRECTORY));
  ASSERT_OK_AND_ASSIGN(const auto broker, UnpackBroker::Start(CRISP_UNPACKER));
  ASSERT_OK_AND_ASSIGN(auto unpack, LayerUnpack::Start(*broker, Directories(), target.get()));
  ASSERT_OK(unpack->Write("begun", Operation()));
  EXPECT_THAT(unpack->Write(std::string(64 << 20, 'x'), Operation(absl::InfinitePast())),
              ::testing::AnyOf(StatusIs(absl::StatusCode::kDeadlineExceeded),
                               StatusIs(absl::StatusCode::kDataLoss)));
}

TEST_F(LayerUnpackTest, OneBrokerServesManyLayersAtOnce) {
  ASSERT_OK_AND_ASSIGN(const auto broker, UnpackBroker::Start(CRISP_UNPACKER));
  constexpr int kLayers = 8;
  std::vector<std::unique_ptr<LayerUnpack>> unpacks;
  std::vector<std::string> layers;
  for (int i = 0; i < kLayers; ++i) {
    const std::string path = absl::StrCat(dir_.path(), "/", i);
    ASSERT_OK(MakeDirs(path, 0755));
    ASSERT_OK_AND_ASSIGN(const UniqueFd target, Open(path, O_RDONLY | O_DIRECTORY));
    ASSERT_OK_AND_ASSIGN(unpacks.emplace_back(),
                         LayerUnpack::Start(*broker, Directories(), target.get()));
    layers.push_back(TarBuilder().File("f", absl::StrCat("of layer ", i)).Build());
    ASSERT_OK(unpacks.back()->Write(layers.back(), Operation()));
  }
  for (int i = kLayers - 1; i >= 0; --i) {
    const size_t at = static_cast<size_t>(i);
    ASSERT_OK_AND_ASSIGN(const UnpackResult result, unpacks[at]->Finish(Operation()));
    EXPECT_EQ(result.diff_id, Sha256Digest(layers[at]));
    EXPECT_EQ(*ReadFile(absl::StrCat(dir_.path(), "/", i, "/f")), absl::StrCat("of layer ", i));
  }
}

TEST_F(LayerUnpackTest, UnpackersOutliveTheirBroker) {
  ASSERT_OK_AND_ASSIGN(UniqueFd target, Open(dir_.path(), O_RDONLY | O_DIRECTORY));
  ASSERT_OK_AND_ASSIGN(auto broker, UnpackBroker::Start(CRISP_UNPACKER));
  ASSERT_OK_AND_ASSIGN(auto unpack, LayerUnpack::Start(*broker, Directories(), target.get()));
  broker.reset();
  ASSERT_OK(unpack->Write(TarBuilder().File("f", "x").Build(), Operation()));
  EXPECT_OK(unpack->Finish(Operation()));
}

TEST_F(LayerUnpackTest, ADeadBrokerIsAnError) {
  ASSERT_OK_AND_ASSIGN(UniqueFd target, Open(dir_.path(), O_RDONLY | O_DIRECTORY));
  ASSERT_OK_AND_ASSIGN(const auto broker, UnpackBroker::Start("/bin/true"));  // ends at once
  absl::Status status;
  while (broker->alive() && (status.ok() || absl::IsUnavailable(status))) {
    auto unpack = LayerUnpack::Start(*broker, Directories(), target.get());
    status = unpack.ok() ? (*unpack)->Finish(Operation()).status() : unpack.status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  }
  EXPECT_FALSE(broker->alive());
}

TEST_F(LayerUnpackTest, MissingProgramIsNotFound) {
  EXPECT_THAT(UnpackBroker::Start("/nonexistent"), StatusIs(absl::StatusCode::kNotFound));
}

// The children of this process, to play tricks on.
std::vector<pid_t> Children() {
  std::vector<pid_t> pids;
  const std::vector<std::string> tasks =
      ListDir("/proc/self/task").value_or(std::vector<std::string>());
  for (const std::string& task : tasks) {
    const std::string list =
        ReadFile(absl::StrCat("/proc/self/task/", task, "/children")).value_or("");
    for (absl::string_view text : absl::StrSplit(list, ' ', absl::SkipEmpty())) {
      pid_t pid = 0;
      if (absl::SimpleAtoi(text, &pid)) pids.push_back(pid);
    }
  }
  return pids;
}

TEST_F(LayerUnpackTest, AWriterIsWokenByItsCancellation) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd target, Open(dir_.path(), O_RDONLY | O_DIRECTORY));
  const std::string much = TarBuilder().File("f", std::string(16 << 20, 'x')).Build();
  ASSERT_OK_AND_ASSIGN(const auto broker, UnpackBroker::Start(CRISP_UNPACKER));
  ASSERT_OK_AND_ASSIGN(auto unpack, LayerUnpack::Start(*broker, Directories(), target.get(),
                                                       {.stall_timeout = absl::Hours(1)}));
  EXPECT_TRUE(Eventually([&] { return Children().size() >= 2; }));
  const std::vector<pid_t> children = Children();
  ASSERT_EQ(children.size(), 2u);
  ASSERT_EQ(kill(children.back(), SIGSTOP), 0);
  EXPECT_THAT(CancelledWhileAsleep(
                  [&](const Operation& operation) { return unpack->Write(much, operation); }),
              StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(LayerUnpackTest, AStoppedUnpackerOrBrokerStallsNobody) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd target, Open(dir_.path(), O_RDONLY | O_DIRECTORY));
  const UnpackOptions options{.stall_timeout = absl::Milliseconds(400)};
  const std::string much = TarBuilder().File("f", std::string(16 << 20, 'x')).Build();
  for (const bool broker_too : {false, true}) {
    ASSERT_OK_AND_ASSIGN(const auto broker, UnpackBroker::Start(CRISP_UNPACKER));
    ASSERT_OK_AND_ASSIGN(auto unpack,
                         LayerUnpack::Start(*broker, Directories(), target.get(), options));
    EXPECT_TRUE(Eventually([&] { return Children().size() >= 2; }));
    const std::vector<pid_t> children = Children();
    ASSERT_EQ(children.size(), 2u);
    for (const pid_t pid : children) {
      const bool chosen = broker_too || pid != children.front();
      ASSERT_TRUE(!chosen || kill(pid, SIGSTOP) == 0);
    }
    const absl::Time begin = absl::Now();
    if (broker_too) {
      ASSERT_OK_AND_ASSIGN(unpack,
                           LayerUnpack::Start(*broker, Directories(), target.get(), options));
      EXPECT_THAT(unpack->Finish(Operation()), StatusIs(absl::StatusCode::kDeadlineExceeded));
    } else {
      EXPECT_THAT(unpack->Write(much, Operation()),
                  StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("no progress")));
    }
    EXPECT_LT(absl::Now() - begin, absl::Seconds(30));
  }
  // Nobody waits long for one that is slow to die, and one whose number the stopped broker had not
  // told yet can only find its stream at its end; but each ends.
  EXPECT_TRUE(Eventually([&] {
    for (const pid_t pid : Children()) (void)kill(pid, SIGCONT);
    (void)waitpid(-1, nullptr, WNOHANG);
    return Children().empty();
  }));
}

TEST_F(LayerUnpackTest, BoundsFilesTimeAndInodes) {
  TarBuilder many;
  for (int i = 0; i < 3000; ++i) many.File(absl::StrCat(i), "");
  EXPECT_THAT(Unpack(many.Build(), {.max_files = 2999}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("image.max_layer_files")));
  ASSERT_OK(RemoveTree(dir_.path()));
  ASSERT_OK(MakeDirs(dir_.path()));
  ASSERT_OK(Unpack(many.Build(), {.max_files = 3000}));
  const std::string zeros = Gzip(std::string(1 << 30, '\0'));
  std::string slow;
  for (int i = 0; i < 30; ++i) slow += zeros;
  EXPECT_THAT(Unpack(slow, {.max_cpu_seconds = 1}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("image.max_unpack_cpu")));
}

// A small file system keeps some of its inodes, and who looks for the cause is told.
TEST_F(LayerUnpackTest, LeavesInodes) {
  const std::string small = dir_.path() + "/small";
  ASSERT_OK(MakeDirs(small));
  ASSERT_EQ(mount("tmpfs", small.c_str(), "tmpfs", 0, "size=256m,nr_inodes=4000"), 0);
  const auto unmount = absl::MakeCleanup([&] { umount2(small.c_str(), MNT_DETACH); });
  ASSERT_OK_AND_ASSIGN(const UniqueFd target, Open(small, O_RDONLY | O_DIRECTORY));
  ASSERT_OK_AND_ASSIGN(const auto broker, UnpackBroker::Start(CRISP_UNPACKER));
  ASSERT_OK_AND_ASSIGN(const auto unpack,
                       LayerUnpack::Start(*broker, Directories(), target.get(),
                                          {.min_free_bytes = 1 << 20, .min_free_inodes = 2000}));
  TarBuilder many;
  for (int i = 0; i < 5000; ++i) many.File(absl::StrCat(i), "");
  absl::Status status = unpack->Write(many.Build(), Operation());
  if (status.ok()) status = unpack->Finish(Operation()).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("df -i")));
}

}  // namespace
}  // namespace crisp::storage
