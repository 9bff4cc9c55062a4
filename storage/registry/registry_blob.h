#ifndef CRISP_STORAGE_REGISTRY_REGISTRY_BLOB_H_
#define CRISP_STORAGE_REGISTRY_REGISTRY_BLOB_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/operation.h"
#include "storage/oci/digest.h"
#include "storage/oci/image_manifest.h"
#include "storage/registry/registry_host.h"

namespace crisp::storage {

// One blob on its way through all connections and hosts that it takes. Keeps the hash and the
// offset between them. Used once, on one thread.
class BlobFetch {
 public:
  using Sink = std::function<absl::Status(absl::string_view)>;

  // InvalidArgument for a descriptor without a valid digest. The references outlive it.
  static absl::StatusOr<BlobFetch> Create(const Descriptor& blob, const Sink& sink);

  // As RegistrySession::FetchBlob(), asking `hosts` in this order.
  absl::Status Run(const std::vector<HostClient*>& hosts, const Operation& operation);
  bool has_begun() const { return offset_ > 0; }
  // The host that sent the last bytes; null if no host sent any.
  HostClient* sender() const { return sender_; }

 private:
  BlobFetch(const Descriptor& blob, const Sink& sink, Verifier verifier)
      : blob_(blob), sink_(sink), verifier_(std::move(verifier)) {}

  // Tries one host until it is done or not worth another try. nullopt if the next host is to be
  // tried.
  std::optional<absl::Status> TryHost(HostClient* host, const Operation& operation);
  HostClient::Outcome Ask(HostClient* host, const Operation& operation);
  absl::Status Take(const HttpReply& head, absl::string_view bytes);
  // OK if this reply can continue the blob at offset_, judged by its headers. Sets skip_.
  absl::Status CheckHead(const HttpReply& head);

  const Descriptor& blob_;
  const Sink& sink_;
  Verifier verifier_;
  Attempts attempts_;
  HostClient* sender_ = nullptr;
  uint64_t offset_ = 0;     // bytes that the sink has
  uint64_t discarded_ = 0;  // over all replies
  int resumes_ = 0;         // over all hosts
  bool whole_only_ =
      // this host refuses ranges, so it is asked for all bytes and the known ones are dropped
      false;

  // State of the reply that is being read.
  bool head_seen_ = false;
  uint64_t skip_ = 0;        // bytes still to drop, because the server began at 0 again
  bool unsuitable_ = false;  // the reply does not continue the blob; another host's may
};

// The first byte's offset in "bytes 10-19/20"; nullopt when malformed.
std::optional<uint64_t> ContentRangeStart(absl::string_view value);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_REGISTRY_REGISTRY_BLOB_H_
