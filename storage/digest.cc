#include "storage/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace crisp::storage {
namespace {

constexpr char kSha256[] = "sha256:";
constexpr char kSha512[] = "sha512:";

bool IsHexOf(absl::string_view text, size_t length) {
  return text.size() == length && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

bool IsDigest(absl::string_view text) {
  if (absl::ConsumePrefix(&text, kSha256)) return IsHexOf(text, 64);
  return absl::ConsumePrefix(&text, kSha512) && IsHexOf(text, 128);
}

absl::Status CheckDigest(absl::string_view text) {
  if (IsDigest(text)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("\"", absl::CHexEscape(text.substr(0, 160)),
                                                 "\" is no sha256 or sha512 digest"));
}

absl::string_view DigestHex(absl::string_view digest) {
  const size_t colon = digest.find(':');
  return colon == absl::string_view::npos ? digest : digest.substr(colon + 1);
}

std::string Sha256Digest(absl::string_view bytes) {
  Hasher hasher;
  hasher.Update(bytes);
  return hasher.Finish();
}

void Hasher::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

// The EVP calls below fail only when memory runs out or the provider lacks the algorithm; a hash
// that then comes out wrong fails verification, which is the safe side.
Hasher::Hasher(Algorithm algorithm) : algorithm_(algorithm), context_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(context_.get(), algorithm == Algorithm::kSha256 ? EVP_sha256() : EVP_sha512(),
                    nullptr);
}

Hasher::Hasher(Hasher&& other) noexcept = default;
Hasher& Hasher::operator=(Hasher&& other) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::Update(absl::string_view bytes) {
  EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
}

std::string Hasher::Finish() {
  unsigned char hash[EVP_MAX_MD_SIZE] = {};
  unsigned int length = 0;
  EVP_DigestFinal_ex(context_.get(), hash, &length);
  return absl::StrCat(
      algorithm_ == Algorithm::kSha256 ? kSha256 : kSha512,
      absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(hash), length)));
}

absl::StatusOr<Verifier> Verifier::Create(absl::string_view digest, uint64_t size) {
  CRISP_RETURN_IF_ERROR(CheckDigest(digest));
  const bool sha256 = absl::StartsWith(digest, kSha256);
  return Verifier(digest, size, sha256 ? Hasher::Algorithm::kSha256 : Hasher::Algorithm::kSha512);
}

Verifier::Verifier(absl::string_view digest, uint64_t size, Hasher::Algorithm algorithm)
    : digest_(digest), size_(size), hasher_(algorithm) {}

absl::Status Verifier::Update(absl::string_view bytes) {
  seen_ += bytes.size();
  if (seen_ > size_) {
    return absl::DataLossError(
        absl::StrCat("verify ", digest_, ": more than the promised ", size_, " bytes"));
  }
  hasher_.Update(bytes);
  return absl::OkStatus();
}

absl::Status Verifier::Finish() {
  if (seen_ != size_) {
    return absl::DataLossError(
        absl::StrCat("verify ", digest_, ": ", seen_, " bytes instead of ", size_));
  }
  if (const std::string got = hasher_.Finish(); got != digest_) {
    return absl::DataLossError(absl::StrCat("verify ", digest_, ": the bytes hash to ", got));
  }
  return absl::OkStatus();
}

}  // namespace crisp::storage
