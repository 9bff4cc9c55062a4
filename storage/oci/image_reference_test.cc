#include "storage/oci/image_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/testing/status_matchers.h"

namespace crisp::storage {
namespace {

const std::string kHex(64, 'a');
const std::string kDigest = "sha256:" + kHex;

struct Case {
  std::string text;
  std::string canonical;
  std::string familiar;
};

TEST(ImageReferenceTest, Normalises) {
  const Case cases[] = {
      {"busybox", "docker.io/library/busybox:latest", "busybox:latest"},
      {"busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"},
      {"a/b", "docker.io/a/b:latest", "a/b:latest"},
      {"docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"},
      {"index.docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"},
      {"localhost/x", "localhost/x:latest", "localhost/x:latest"},
      {"localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"},
      {"localhost:5000/x:1", "localhost:5000/x:1", "localhost:5000/x:1"},
      {"[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"},
      {"[fe80::1]/x", "[fe80::1]/x:latest", "[fe80::1]/x:latest"},
      {"10.0.0.1/a__b/c-d.e", "10.0.0.1/a__b/c-d.e:latest", "10.0.0.1/a__b/c-d.e:latest"},
      {"Host/x", "Host/x:latest", "Host/x:latest"},
      {"quay.io/a/b@" + kDigest, "quay.io/a/b@" + kDigest, "quay.io/a/b@" + kDigest},
      {"b:1@" + kDigest, "docker.io/library/b:1@" + kDigest, "b:1@" + kDigest},
      {"docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest"},
      {kHex + ":1", "docker.io/library/" + kHex + ":1", kHex + ":1"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    ASSERT_OK_AND_ASSIGN(ImageReference reference, ImageReference::Parse(c.text));
    EXPECT_EQ(reference.Canonical(), c.canonical);
    EXPECT_EQ(reference.Familiar(), c.familiar);
  }
}

TEST(ImageReferenceTest, NamesNoTagWhenPulledByDigest) {
  ASSERT_OK_AND_ASSIGN(ImageReference tagged, ImageReference::Parse("quay.io/a/b:1"));
  EXPECT_EQ(tagged.RepoTag(), "quay.io/a/b:1");
  EXPECT_EQ(tagged.Object(), "1");
  EXPECT_EQ(tagged.RepoDigest(kDigest), "quay.io/a/b@" + kDigest);
  ASSERT_OK_AND_ASSIGN(ImageReference both, ImageReference::Parse("quay.io/a/b:1@" + kDigest));
  EXPECT_EQ(both.RepoTag(), "");
  EXPECT_EQ(both.Object(), kDigest);
}

TEST(ImageReferenceTest, RefusesWhatIsOutsideTheGrammar) {
  const std::string bad[] = {
      "",
      ":tag",
      "@" + kDigest,
      "a:",
      "a@",
      "a@sha256:abc",
      "a@md5:" + kHex,
      "A",
      "a/B",
      "a//b",
      "/a",
      "a/",
      "host.x/",
      "a..b",
      "a___b",
      ".a",
      "a.",
      "-a",
      "a-",
      "a b",
      "a\nb",
      "a:b:c",
      "a:-x",
      "a:.x",
      "a:" + std::string(129, 'x'),
      "h.x:0/a",
      "h.x:99999/a",
      "h.x:/a",
      "h..x/a",
      "-h.x/a",
      "[::1/a",
      "[zz]:1/a",
      "[]:1/a",
      "http://x.y/a",
      "a?b",
      "a@b@" + kDigest,
      "../a",
      "x.y/../a",
      "x.y/%2e/a",
      kHex,
      std::string(256, 'a'),
      std::string(5000, 'a'),
      std::string("a\0b", 3),
      "user:pw@host.x/a",
  };
  for (const std::string& text : bad) {
    EXPECT_THAT(ImageReference::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
  EXPECT_OK(ImageReference::Parse("x.y/" + std::string(255, 'a')));
}

}  // namespace
}  // namespace crisp::storage
