#include "storage/oci/digest.h"

// The functions of one algorithm, which OpenSSL would rather have called through EVP: that looks
// providers up and reads their configuration, a millisecond and a hundred pages of every process
// that unpacks.
#define OPENSSL_API_COMPAT 0x10100000L
#include <openssl/sha.h>

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
                                                 "\" is not a sha256 or sha512 digest"));
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

struct Hasher::State {
  Algorithm algorithm;
  union {
    SHA256_CTX sha256;
    SHA512_CTX sha512;
  };
};

Hasher::Hasher(Algorithm algorithm) : state_(std::make_unique<State>()) {
  state_->algorithm = algorithm;
  if (algorithm == Algorithm::kSha256) {
    SHA256_Init(&state_->sha256);
  } else {
    SHA512_Init(&state_->sha512);
  }
}

Hasher::Hasher(Hasher&& other) noexcept = default;
Hasher& Hasher::operator=(Hasher&& other) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::Update(absl::string_view bytes) {
  if (state_->algorithm == Algorithm::kSha256) {
    SHA256_Update(&state_->sha256, bytes.data(), bytes.size());
  } else {
    SHA512_Update(&state_->sha512, bytes.data(), bytes.size());
  }
}

std::string Hasher::Finish() {
  unsigned char hash[SHA512_DIGEST_LENGTH];
  const bool sha256 = state_->algorithm == Algorithm::kSha256;
  if (sha256) {
    SHA256_Final(hash, &state_->sha256);
  } else {
    SHA512_Final(hash, &state_->sha512);
  }
  const size_t size = sha256 ? SHA256_DIGEST_LENGTH : SHA512_DIGEST_LENGTH;
  return absl::StrCat(sha256 ? kSha256 : kSha512,
                      absl::BytesToHexString({reinterpret_cast<const char*>(hash), size}));
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
