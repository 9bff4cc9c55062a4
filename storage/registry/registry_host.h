#ifndef CRISP_STORAGE_REGISTRY_REGISTRY_HOST_H_
#define CRISP_STORAGE_REGISTRY_REGISTRY_HOST_H_

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/operation.h"
#include "storage/registry/hosts_config.h"
#include "storage/registry/http_client.h"
#include "storage/registry/registry_auth.h"

namespace crisp::storage {

// One host of one pull. It knows the host's URL scheme, authenticates, and waits when it is told to
// slow down. Thread-safe.
class HostClient {
 public:
  // `http` and `tokens` outlive it.
  HostClient(HttpClient* http,
             TokenCache* tokens,
             RegistryHost host,
             Credentials credentials,
             std::string registry,
             std::string repository,
             absl::Duration stall_timeout);

  const RegistryHost& host() const { return host_; }
  // True if the last exchange could not reach the host. Such a host is asked after the others.
  bool unreachable() const { return unreachable_; }

  // GETs "manifests/<reference>" or "blobs/<digest>" of the repository. Answers challenges, and
  // falls back to plain http where that is allowed. Honours Retry-After of 408, 429 and 503: three
  // waits of at most five minutes, while somebody waits for the pull. `verified` says that the
  // caller checks a digest, so a redirect may leave https.
  struct Outcome {
    absl::Status status;  // OK for 200 and 206, else in RegistrySession's terms
    HttpReply reply;
  };
  Outcome Get(const std::string& path,
              const std::vector<std::pair<std::string, std::string>>& headers,
              bool verified,
              const HttpSink& sink,
              const Operation& operation);

 private:
  HttpRequest MakeRequest(const std::string& path,
                          bool verified,
                          const std::string& authorization) const;
  HttpReply SendEitherScheme(const std::string& path,
                             const std::vector<std::pair<std::string, std::string>>& headers,
                             bool verified,
                             const std::string& authorization,
                             const HttpSink& sink,
                             const Operation& operation);

  HttpClient* const http_;
  const RegistryHost host_;
  const std::string registry_;
  const std::string repository_;
  const absl::Duration stall_timeout_;
  Authorizer authorizer_;
  std::atomic<bool> plain_;
  std::atomic<bool> unreachable_ = false;
};

// The answers of all hosts, and the one status that follows from them.
class Attempts {
 public:
  void Add(const RegistryHost& host, const absl::Status& status);
  bool empty() const { return attempts_.empty(); }
  // `what` starts the message, after "RegistryUnavailable: " if that is the verdict.
  absl::Status Verdict(absl::string_view what) const;

 private:
  std::vector<std::pair<std::string, absl::Status>> attempts_;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_REGISTRY_REGISTRY_HOST_H_
