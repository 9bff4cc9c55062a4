#ifndef CRISP_STORAGE_OCI_IMAGE_REFERENCE_H_
#define CRISP_STORAGE_OCI_IMAGE_REFERENCE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::storage {

// The name of an image, normalised as docker and containerd do: "busybox" is
// docker.io/library/busybox:latest, "quay.io/a/b:1", "host:5000/c@sha256:…". A value.
struct ImageReference {
  std::string host;        // "docker.io", "registry.k8s.io", "localhost:5000", "[::1]:5000"
  std::string repository;  // "library/busybox"
  std::string tag;     // "latest" when neither tag nor digest was given; may stand beside a digest
  std::string digest;  // "sha256:<64 hex>" or "sha512:<128 hex>", or empty

  // InvalidArgument for anything outside the grammar of distribution's reference package (at most
  // 255 bytes of repository, 128 of tag), for upper case in a repository, for a bare 64-digit hex
  // name (that is an id) and for a digest of another algorithm.
  static absl::StatusOr<ImageReference> Parse(absl::string_view text);

  // "docker.io/library/busybox".
  std::string Name() const;
  // The object to ask of the registry: the digest if there is one, else the tag.
  const std::string& Object() const { return digest.empty() ? tag : digest; }
  // "docker.io/library/busybox:latest". Empty for a reference by digest: such a pull names no tag,
  // whatever tag stands beside the digest.
  std::string RepoTag() const;
  // "docker.io/library/busybox@sha256:…" with the digest given (a manifest's).
  std::string RepoDigest(absl::string_view manifest_digest) const;
  // Name() with tag and digest as far as they are set.
  std::string Canonical() const;
  // As a person writes it: "busybox:latest".
  std::string Familiar() const;

  bool operator==(const ImageReference&) const = default;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_OCI_IMAGE_REFERENCE_H_
