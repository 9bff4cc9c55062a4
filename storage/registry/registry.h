#ifndef CRISP_STORAGE_REGISTRY_REGISTRY_H_
#define CRISP_STORAGE_REGISTRY_REGISTRY_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/operation.h"
#include "storage/oci/image_manifest.h"
#include "storage/oci/image_reference.h"
#include "storage/values/credentials.h"

namespace crisp::storage {

// An image as a registry has it: verified documents, and nothing of the layers yet.
struct ResolvedImage {
  ImageReference reference;
  Descriptor manifest;         // of this platform's manifest
  std::string manifest_bytes;  // as served
  // The document that the reference itself names: the index if there was one, else the same as
  // `manifest`. Its digest is shown in repo_digests.
  Descriptor target;
  std::string target_bytes;  // as served
  Descriptor config;
  std::string config_bytes;
  std::vector<Descriptor> layers;  // bottom first, as many as image_config.diff_ids
  ImageConfig image_config;
};

// One pull's view of a registry: the hosts to ask in order, credentials and tokens. Thread-safe:
// layers are fetched from several threads at once, each over a connection of its own.
//
// Both calls fail only after every host that may serve was tried, and the message lists the failure
// of each host. Codes: NotFound (the registry itself said 404, or its index has nothing for this
// platform), Unauthenticated (401), PermissionDenied (403), Unavailable with "RegistryUnavailable"
// first (no host was reachable, 5xx, or 429 after the waits that its Retry-After asked for),
// DeadlineExceeded (operation's deadline, within 50 ms of it, or a stall), Cancelled, DataLoss
// (size or digest differ from the descriptor), InvalidArgument (a document is malformed). No
// message carries credentials, tokens or a URL's query.
//
// Credentials go to the registry itself (its own host, or the `server` that its own hosts.toml
// names) or, if they name a server address, to that host only. They never go to another mirror.
//
// For example, one pull without a store:
//
//   ASSIGN_OR_RETURN(std::unique_ptr<RegistrySession> session, registry.Open(reference, auth));
//   ASSIGN_OR_RETURN(ResolvedImage image, session->Resolve(cancel));
//   for (const Descriptor& layer : image.layers) {
//     RETURN_IF_ERROR(session->FetchBlob(layer, write_to_a_file, cancel));
//     // It has the digest. If it unpacks to something else than image_config.diff_ids says,
//     // Distrust(layer) and fetch it again.
//   }
class RegistrySession {
 public:
  virtual ~RegistrySession() = default;

  // Fetches manifest (through an index if need be) and config, all verified and parsed.
  // `on_layers`, which may be null, gets the layers as soon as the manifest is known, before the
  // config is asked for.
  using OnLayers = std::function<void(const std::vector<Descriptor>& layers)>;
  virtual absl::StatusOr<ResolvedImage> Resolve(const Operation& operation,
                                                const OnLayers& on_layers) = 0;
  absl::StatusOr<ResolvedImage> Resolve(const Operation& operation) {
    return Resolve(operation, nullptr);
  }

  // Streams the blob's bytes, in order and each once, to `sink`, on this thread, at most 16 KiB at
  // a time. The sink may block. That is not a stall, but the sink then has to watch `operation`
  // itself. A broken connection resumes where it broke, on the same host and then on the next. Size
  // and digest are verified over all bytes, so the sink's bytes count only when OK comes back. An
  // error of the sink ends the fetch and is returned unchanged.
  virtual absl::Status FetchBlob(const Descriptor& blob,
                                 const std::function<absl::Status(absl::string_view)>& sink,
                                 const Operation& operation) = 0;
  // Says that the bytes of FetchBlob() turned out not to be the blob. The host that sent them is
  // not asked for this blob again. True if there is another host to ask.
  virtual bool Distrust(const Descriptor& blob);
};

struct RegistryOptions {
  std::vector<std::string> config_dirs;             // certs.d roots, first that knows the host wins
  absl::Duration stall_timeout = absl::Minutes(1);  // without a byte; then DeadlineExceeded
};

// The way to registries: containerd's certs.d configuration, which every Open() reads anew, and a
// cache of tokens. Thread-safe. There is one for each store; it outlives its sessions.
class Registry {
 public:
  static absl::StatusOr<std::unique_ptr<Registry>> Create(RegistryOptions options);
  virtual ~Registry() = default;

  // Touches no network. InvalidArgument for a hosts.toml that cannot be understood (naming file and
  // line) or credentials that cannot be decoded.
  virtual absl::StatusOr<std::unique_ptr<RegistrySession>> Open(const ImageReference& reference,
                                                                const RegistryAuth& auth) = 0;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_REGISTRY_REGISTRY_H_
