#ifndef CRISP_STORAGE_OCI_DIGEST_H_
#define CRISP_STORAGE_OCI_DIGEST_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::storage {

// Content digests are strings "<algorithm>:<lower-case hex>", sha256 (64 digits) or sha512 (128).

bool IsDigest(absl::string_view text);
// InvalidArgument if `text` is not a digest.
absl::Status CheckDigest(absl::string_view text);
// The hex part of a valid digest.
absl::string_view DigestHex(absl::string_view digest);
// "sha256:…" of `bytes`.
std::string Sha256Digest(absl::string_view bytes);

// Hashes a stream. Not thread-safe; movable.
class Hasher {
 public:
  enum class Algorithm { kSha256, kSha512 };
  explicit Hasher(Algorithm algorithm = Algorithm::kSha256);
  Hasher(Hasher&& other) noexcept;
  Hasher& operator=(Hasher&& other) noexcept;
  ~Hasher();

  void Update(absl::string_view bytes);
  // The digest of all bytes; call once, then discard the object.
  std::string Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Checks a stream against the digest and size that a descriptor promises. Not thread-safe; movable.
class Verifier {
 public:
  // InvalidArgument if `digest` is not valid.
  static absl::StatusOr<Verifier> Create(absl::string_view digest, uint64_t size);

  // DataLoss as soon as there are more bytes than promised; those bytes must not be used.
  absl::Status Update(absl::string_view bytes);
  // DataLoss when size or digest differ from what was promised. Call once.
  absl::Status Finish();
  uint64_t bytes_seen() const { return seen_; }

 private:
  Verifier(absl::string_view digest, uint64_t size, Hasher::Algorithm algorithm);

  std::string digest_;
  uint64_t size_;
  uint64_t seen_ = 0;
  Hasher hasher_;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_OCI_DIGEST_H_
