#include "storage/oci/digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/status_matchers.h"

namespace crisp::storage {
namespace {

// FIPS 180-2 test vectors for "abc".
constexpr char kAbc256[] =
    "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kAbc512[] =
    "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

TEST(DigestTest, Hashes) {
  EXPECT_EQ(Sha256Digest("abc"), kAbc256);
  Hasher hasher(Hasher::Algorithm::kSha512);
  hasher.Update("a");
  hasher.Update("bc");
  EXPECT_EQ(hasher.Finish(), kAbc512);
}

TEST(DigestTest, AcceptsOnlyTheTwoForms) {
  EXPECT_TRUE(IsDigest(kAbc256));
  EXPECT_TRUE(IsDigest(kAbc512));
  std::string upper(kAbc256);
  upper[10] = 'A';
  EXPECT_FALSE(IsDigest(upper));
  EXPECT_FALSE(IsDigest(std::string(kAbc256) + "0"));
  EXPECT_FALSE(IsDigest("sha256:"));
  EXPECT_FALSE(IsDigest("md5:900150983cd24fb0d6963f7d28e17f72"));
  EXPECT_FALSE(IsDigest(""));
  EXPECT_EQ(DigestHex("sha256:ab"), "ab");
}

TEST(VerifierTest, PassesTheRightBytes) {
  for (const char* digest : {kAbc256, kAbc512}) {
    ASSERT_OK_AND_ASSIGN(Verifier verifier, Verifier::Create(digest, 3));
    EXPECT_OK(verifier.Update("ab"));
    EXPECT_OK(verifier.Update("c"));
    EXPECT_OK(verifier.Finish());
  }
}

TEST(VerifierTest, RefusesOtherBytes) {
  ASSERT_OK_AND_ASSIGN(Verifier wrong, Verifier::Create(kAbc256, 3));
  EXPECT_OK(wrong.Update("abd"));
  EXPECT_THAT(wrong.Finish(), StatusIs(absl::StatusCode::kDataLoss));

  ASSERT_OK_AND_ASSIGN(Verifier truncated, Verifier::Create(kAbc256, 3));
  EXPECT_OK(truncated.Update("ab"));
  EXPECT_THAT(truncated.Finish(), StatusIs(absl::StatusCode::kDataLoss));

  ASSERT_OK_AND_ASSIGN(Verifier longer, Verifier::Create(kAbc256, 3));
  EXPECT_THAT(longer.Update("abcd"), StatusIs(absl::StatusCode::kDataLoss));

  EXPECT_THAT(Verifier::Create("sha256:zz", 3), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace crisp::storage
