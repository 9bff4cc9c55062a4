#include "storage/registry/registry.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "storage/oci/digest.h"
#include "storage/registry/hosts_config.h"
#include "storage/registry/http_client.h"
#include "storage/registry/http_url.h"
#include "storage/registry/registry_auth.h"
#include "storage/registry/registry_blob.h"
#include "storage/registry/registry_host.h"
#include "storage/registry/registry_throttle.h"

namespace crisp::storage {
namespace {

// Shorter secrets would tear holes into innocent words.
constexpr size_t kShortestSecret = 4;
// On one host, when the connection breaks or the host has a hiccup.
constexpr int kManifestTries = 3;
constexpr absl::Duration kManifestBackoff = absl::Milliseconds(200);

std::string AcceptHeader() {
  return absl::StrJoin({kOciIndex, kOciManifest, kDockerList, kDockerManifest}, ", ");
}

// One document as a host served it, its digest verified.
struct Document {
  Descriptor descriptor;  // media type, digest and size of `bytes`
  std::string bytes;
};

class Session final : public RegistrySession {
 public:
  Session(ImageReference reference,
          std::vector<std::unique_ptr<HostClient>> hosts,
          std::unique_ptr<HttpClient> http,
          std::vector<std::string> secrets,
          absl::Duration stall_timeout)
      : reference_(std::move(reference)),
        http_(std::move(http)),
        hosts_(std::move(hosts)),
        secrets_(std::move(secrets)),
        stall_timeout_(stall_timeout) {}

  absl::StatusOr<ResolvedImage> Resolve(const Operation& operation,
                                        const OnLayers& on_layers) override;
  absl::Status FetchBlob(const Descriptor& blob,
                         const std::function<absl::Status(absl::string_view)>& sink,
                         const Operation& operation) override;

 private:
  absl::StatusOr<ResolvedImage> ResolveUnscrubbed(const Operation& operation,
                                                  const OnLayers& on_layers);
  // The hosts that can serve, those that were found unreachable last.
  std::vector<HostClient*> Candidates(bool RegistryHost::*capability) const;

  // The document that a tag or digest names. `wanted` is its descriptor where one is known.
  absl::StatusOr<Document> FetchDocument(const std::string& object,
                                         const Descriptor* wanted,
                                         const Operation& operation);
  HostClient::Outcome GetDocument(HostClient* host,
                                  const std::string& object,
                                  const Descriptor* wanted,
                                  Document* document,
                                  const Operation& operation);
  bool Distrust(const Descriptor& blob) override;
  absl::Status RunFetch(BlobFetch& fetch, const Descriptor& blob, const Operation& operation);
  absl::Status FetchConfig(ResolvedImage* image, const Operation& operation);
  absl::Status FetchFromUrls(const Descriptor& blob,
                             const std::function<absl::Status(absl::string_view)>& sink,
                             const absl::Status& of_registry,
                             const Operation& operation);
  // The same error without any of the credentials.
  absl::Status Scrub(const absl::Status& status) const;

  const ImageReference reference_;
  const std::unique_ptr<HttpClient> http_;  // the hosts use it
  const std::vector<std::unique_ptr<HostClient>> hosts_;
  const std::vector<std::string> secrets_;
  const absl::Duration stall_timeout_;
  absl::Mutex mutex_;
  std::map<std::string, HostClient*> senders_ ABSL_GUARDED_BY(mutex_);  // of blobs, by digest
  std::map<std::string, std::set<HostClient*>> distrusted_ ABSL_GUARDED_BY(mutex_);  // as well
};

absl::Status Session::Scrub(const absl::Status& status) const {
  if (status.ok()) return status;
  std::vector<std::pair<absl::string_view, absl::string_view>> words;
  for (const std::string& secret : secrets_) {
    if (secret.size() >= kShortestSecret) words.emplace_back(secret, "[redacted]");
  }
  return absl::Status(status.code(), absl::StrReplaceAll(ScrubUrls(status.message()), words));
}

std::vector<HostClient*> Session::Candidates(bool RegistryHost::*capability) const {
  std::vector<HostClient*> candidates;
  for (const auto& host : hosts_) {
    if (host->host().*capability) candidates.push_back(host.get());
  }
  std::stable_partition(candidates.begin(), candidates.end(),
                        [](const HostClient* host) { return !host->unreachable(); });
  return candidates;
}

// Checks what came against what was asked for: the digest of the request, the one that the host
// announces, the size of the descriptor.
absl::Status VerifyDocument(const std::string& object,
                            const Descriptor* wanted,
                            absl::string_view announced,
                            Document* document) {
  const bool by_digest = IsDigest(object);
  document->descriptor.size = document->bytes.size();
  document->descriptor.digest = by_digest             ? object
                                : IsDigest(announced) ? std::string(announced)
                                                      : Sha256Digest(document->bytes);
  CRISP_ASSIGN_OR_RETURN(
      Verifier verifier,
      Verifier::Create(document->descriptor.digest,
                       wanted != nullptr ? wanted->size : document->bytes.size()));
  CRISP_RETURN_IF_ERROR(verifier.Update(document->bytes));
  return verifier.Finish();
}

HostClient::Outcome Session::GetDocument(HostClient* host,
                                         const std::string& object,
                                         const Descriptor* wanted,
                                         Document* document,
                                         const Operation& operation) {
  const HttpSink collect = [document](const HttpReply&, absl::string_view bytes) {
    if (document->bytes.size() + bytes.size() > kMaxManifestBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("manifest is larger than ", kMaxManifestBytes, " bytes"));
    }
    absl::StrAppend(&document->bytes, bytes);
    return absl::OkStatus();
  };
  HostClient::Outcome outcome =
      host->Get(absl::StrCat("manifests/", object), {{"Accept", AcceptHeader()}}, IsDigest(object),
                collect, operation);
  if (!outcome.status.ok()) return outcome;
  const bool encoded = outcome.reply.IsEncoded();
  const auto explain = absl::MakeCleanup([&] {
    if (outcome.status.ok() || !encoded) return;
    outcome.status = absl::UnavailableError(
        absl::StrCat("sends it with Content-Encoding: ",
                     absl::CHexEscape(outcome.reply.Header("content-encoding").substr(0, 32)),
                     ", though asked for it as it is (a proxy between?)"));
  });
  outcome.status =
      VerifyDocument(object, wanted, outcome.reply.Header("docker-content-digest"), document);
  if (!outcome.status.ok()) return outcome;
  // A descriptor's media type is covered by a digest; a Content-Type is the host's word.
  absl::StatusOr<std::string> type =
      DocumentMediaType(document->bytes, wanted != nullptr ? wanted->media_type
                                                           : outcome.reply.Header("content-type"));
  outcome.status = type.status();
  if (type.ok()) document->descriptor.media_type = *std::move(type);
  return outcome;
}

absl::StatusOr<Document> Session::FetchDocument(const std::string& object,
                                                const Descriptor* wanted,
                                                const Operation& operation) {
  Attempts attempts;
  for (HostClient* host :
       Candidates(IsDigest(object) ? &RegistryHost::can_pull : &RegistryHost::can_resolve)) {
    for (int tries = 1;; ++tries) {
      Document document;
      const HostClient::Outcome outcome = GetDocument(host, object, wanted, &document, operation);
      if (outcome.status.ok()) return document;
      if (outcome.reply.end == HttpEnd::kCancelled) return outcome.status;
      CRISP_RETURN_IF_ERROR(operation.Check(absl::StrCat("fetch manifest ", object)));
      const bool passing = outcome.reply.end == HttpEnd::kBroken ||
                           (outcome.reply.end == HttpEnd::kComplete && outcome.reply.status >= 500);
      if (!passing || tries == kManifestTries) {
        attempts.Add(host->host(), outcome.status);
        break;
      }
      CRISP_RETURN_IF_ERROR(SleepUnlessCancelled(kManifestBackoff * tries, operation));
    }
  }
  return attempts.Verdict(
      absl::StrCat("fetch manifest ", reference_.Name(), IsDigest(object) ? "@" : ":", object));
}

// By the hosts that are trusted with this blob.
absl::Status Session::RunFetch(BlobFetch& fetch,
                               const Descriptor& blob,
                               const Operation& operation) {
  std::vector<HostClient*> hosts = Candidates(&RegistryHost::can_pull);
  {
    absl::MutexLock lock(&mutex_);
    const std::set<HostClient*>& distrusted = distrusted_[blob.digest];
    std::erase_if(hosts, [&](HostClient* host) { return distrusted.count(host) > 0; });
  }
  absl::Status status = fetch.Run(hosts, operation);
  absl::MutexLock lock(&mutex_);
  senders_[blob.digest] = fetch.sender();
  return status;
}

bool Session::Distrust(const Descriptor& blob) {
  const size_t hosts = Candidates(&RegistryHost::can_pull).size();
  absl::MutexLock lock(&mutex_);
  HostClient* const sender = senders_[blob.digest];
  if (sender == nullptr) return false;
  std::set<HostClient*>& distrusted = distrusted_[blob.digest];
  distrusted.insert(sender);
  return distrusted.size() < hosts;
}

absl::Status Session::FetchConfig(ResolvedImage* image, const Operation& operation) {
  const BlobFetch::Sink collect = [image](absl::string_view bytes) {
    absl::StrAppend(&image->config_bytes, bytes);  // bounded: no more than the descriptor's size
    return absl::OkStatus();
  };
  while (true) {
    image->config_bytes.clear();
    image->config_bytes.reserve(image->config.size);
    CRISP_ASSIGN_OR_RETURN(BlobFetch fetch, BlobFetch::Create(image->config, collect));
    const absl::Status fetched = RunFetch(fetch, image->config, operation);
    if (fetched.ok()) break;
    if (!absl::IsDataLoss(fetched) || !Distrust(image->config)) return fetched;
  }
  CRISP_ASSIGN_OR_RETURN(image->image_config, ParseImageConfig(image->config_bytes));
  return absl::OkStatus();
}

absl::StatusOr<ResolvedImage> Session::ResolveUnscrubbed(const Operation& operation,
                                                         const OnLayers& on_layers) {
  CRISP_RETURN_IF_ERROR(operation.Check("resolve"));
  const Platform platform = HostPlatform();
  CRISP_ASSIGN_OR_RETURN(Document document, FetchDocument(reference_.Object(), nullptr, operation));
  ResolvedImage image{
      .reference = reference_, .target = document.descriptor, .target_bytes = document.bytes};
  bool anonymous = false;
  for (int depth = 0; IsIndexType(document.descriptor.media_type); ++depth) {
    if (depth == kMaxIndexDepth) {
      return absl::InvalidArgumentError(
          absl::StrCat("indexes nested deeper than ", kMaxIndexDepth, " levels"));
    }
    CRISP_ASSIGN_OR_RETURN(const ImageIndex index,
                           ParseIndex(document.bytes, document.descriptor.media_type));
    CRISP_ASSIGN_OR_RETURN(const IndexEntry entry, ChoosePlatform(index, platform));
    anonymous = entry.platform.architecture.empty();
    CRISP_ASSIGN_OR_RETURN(document,
                           FetchDocument(entry.descriptor.digest, &entry.descriptor, operation));
  }
  CRISP_ASSIGN_OR_RETURN(ImageManifest manifest,
                         ParseManifest(document.bytes, document.descriptor.media_type));
  image.manifest = document.descriptor;
  image.manifest_bytes = std::move(document.bytes);
  image.config = manifest.config;
  if (on_layers) on_layers(manifest.layers);
  CRISP_RETURN_IF_ERROR(FetchConfig(&image, operation));
  CRISP_RETURN_IF_ERROR(CheckImage(manifest, image.image_config));
  if (anonymous && image.image_config.platform.architecture != platform.architecture) {
    return absl::NotFoundError(
        absl::StrCat("no image for ", PlatformString(platform), " in the index"));
  }
  image.layers = std::move(manifest.layers);
  return image;
}

absl::StatusOr<ResolvedImage> Session::Resolve(const Operation& operation,
                                               const OnLayers& on_layers) {
  absl::StatusOr<ResolvedImage> image = ResolveUnscrubbed(operation, on_layers);
  if (image.ok()) return image;
  return Scrub(image.status());
}

absl::Status Session::FetchBlob(const Descriptor& blob,
                                const std::function<absl::Status(absl::string_view)>& sink,
                                const Operation& operation) {
  absl::Status of_sink;
  const BlobFetch::Sink remember = [&](absl::string_view bytes) { return of_sink = sink(bytes); };
  CRISP_ASSIGN_OR_RETURN(BlobFetch fetch, BlobFetch::Create(blob, remember));
  CRISP_RETURN_IF_ERROR(operation.Check(absl::StrCat("fetch ", blob.digest)));
  absl::Status status = RunFetch(fetch, blob, operation);
  if (!of_sink.ok()) return of_sink;
  // A layer that must not be distributed is where the image says; the registry may have it all the
  // same.
  if (absl::IsNotFound(status) && !fetch.has_begun() && !blob.urls.empty()) {
    status = FetchFromUrls(blob, remember, status, operation);
  }
  return of_sink.ok() ? Scrub(status) : of_sink;
}

// Without credentials, and over plain http only where the registry itself is spoken to so: what is
// fetched has a digest, but who is asked is the image's choice.
absl::Status Session::FetchFromUrls(const Descriptor& blob,
                                    const BlobFetch::Sink& sink,
                                    const absl::Status& of_registry,
                                    const Operation& operation) {
  const bool plain = hosts_.back()->host().scheme == "http";
  std::string tried(of_registry.message());
  for (const std::string& url : blob.urls) {
    if (!absl::StartsWith(url, "https://") && !(plain && absl::StartsWith(url, "http://"))) {
      absl::StrAppend(&tried, "; ", ScrubUrls(url), ": no https URL");
      continue;
    }
    CRISP_ASSIGN_OR_RETURN(Verifier verifier, Verifier::Create(blob.digest, blob.size));
    const HttpSink checked = [&](const HttpReply&, absl::string_view bytes) -> absl::Status {
      CRISP_RETURN_IF_ERROR(verifier.Update(bytes));
      return sink(bytes);
    };
    const HttpReply reply =
        http_->Send({.url = url, .stall_timeout = stall_timeout_, .follow_to_plain_http = plain},
                    checked, operation);
    if (reply.end == HttpEnd::kComplete && reply.status == 200) return verifier.Finish();
    if (reply.end == HttpEnd::kCancelled || verifier.bytes_seen() > 0) {
      return reply.error.ok() ? absl::DataLossError(absl::StrCat(
                                    "a part of the layer came, unasked, from ", ScrubUrls(url)))
                              : reply.error;
    }
    absl::StrAppend(&tried, "; ", ScrubUrls(url), ": ",
                    reply.end == HttpEnd::kComplete ? absl::StrCat("HTTP ", reply.status)
                                                    : std::string(reply.error.message()));
  }
  return absl::NotFoundError(tried);
}

class RegistryImpl final : public Registry {
 public:
  explicit RegistryImpl(RegistryOptions options) : options_(std::move(options)) {}

  absl::StatusOr<std::unique_ptr<RegistrySession>> Open(const ImageReference& reference,
                                                        const RegistryAuth& auth) override;

 private:
  const RegistryOptions options_;
  TokenCache tokens_;
};

absl::StatusOr<std::unique_ptr<RegistrySession>> RegistryImpl::Open(const ImageReference& reference,
                                                                    const RegistryAuth& auth) {
  CRISP_ASSIGN_OR_RETURN(const std::vector<RegistryHost> hosts,
                         LoadRegistryHosts(options_.config_dirs, reference.host));
  CRISP_ASSIGN_OR_RETURN(const Credentials credentials, DecodeCredentials(auth));
  auto http = std::make_unique<HttpClient>();
  std::vector<std::unique_ptr<HostClient>> clients;
  for (const RegistryHost& host : hosts) {
    const bool trusted = MaySeeCredentials(host, reference.host, auth.server_address);
    clients.push_back(std::make_unique<HostClient>(
        http.get(), &tokens_, host, trusted ? credentials : Credentials{}, reference.host,
        reference.repository, options_.stall_timeout));
  }
  std::vector<std::string> secrets = SecretsOf(credentials);
  secrets.push_back(auth.auth);
  return std::make_unique<Session>(reference, std::move(clients), std::move(http),
                                   std::move(secrets), options_.stall_timeout);
}

}  // namespace

bool RegistrySession::Distrust(const Descriptor&) { return false; }

absl::StatusOr<std::unique_ptr<Registry>> Registry::Create(RegistryOptions options) {
  if (options.stall_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("the registry stall timeout must be more than zero");
  }
  return std::make_unique<RegistryImpl>(std::move(options));
}

}  // namespace crisp::storage
