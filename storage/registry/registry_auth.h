#ifndef CRISP_STORAGE_REGISTRY_REGISTRY_AUTH_H_
#define CRISP_STORAGE_REGISTRY_REGISTRY_AUTH_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/operation.h"
#include "storage/registry/hosts_config.h"
#include "storage/registry/http_client.h"
#include "storage/values/credentials.h"

namespace crisp::storage {

// One way to authenticate that a WWW-Authenticate header offers.
struct AuthChallenge {
  std::string scheme;                             // lower case: "bearer", "basic"
  std::map<std::string, std::string> parameters;  // names in lower case
};

// The challenges in one header value (several may share it, RFC 9110). Never fails: a challenge
// that cannot be understood is left out.
std::vector<AuthChallenge> ParseWwwAuthenticate(absl::string_view header);

struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token;  // OAuth2 refresh token
  std::string registry_token;  // bearer token

  bool empty() const {
    return username.empty() && identity_token.empty() && registry_token.empty();
  }
};

// Takes the first that is set of user name and password, `auth`, identity token and registry token.
// InvalidArgument for an `auth` that is not base64 of "user:password" and for a token that cannot
// stand in a header. The message never repeats it.
absl::StatusOr<Credentials> DecodeCredentials(const RegistryAuth& auth);

// All forms in which they are sent, and in which a server may send them back: as they are, in a URL
// or a form, and a user with a password as base64.
std::vector<std::string> SecretsOf(const Credentials& credentials);

// True if `host` may see credentials that were given for images of `registry`: it is the registry
// itself, or the host that `server_address` names. A server_address of another host than the
// registry's and its mirrors' therefore takes the credentials out of use.
bool MaySeeCredentials(const RegistryHost& host,
                       absl::string_view registry,
                       absl::string_view server_address);

struct Token {
  std::string value;
  absl::Time expires;
};

// Parses a token server's reply. InvalidArgument if it has no usable token.
absl::StatusOr<Token> ParseTokenReply(absl::string_view body, absl::Time now);

// Bearer tokens that are still good, by their purpose and owner. Thread-safe; bounded.
class TokenCache {
 public:
  std::optional<std::string> Find(const std::string& key);
  void Put(const std::string& key, Token token);

 private:
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Token> tokens_ ABSL_GUARDED_BY(mutex_);
};

// The Authorization header of one pull for one host: answers its challenges. Thread-safe; no lock
// is held while it talks to a token server.
class Authorizer {
 public:
  // `client` and `tokens` outlive it. `credentials` are the ones this host may see.
  Authorizer(HttpClient* client,
             TokenCache* tokens,
             const RegistryHost& host,
             Credentials credentials,
             std::string repository,
             absl::Duration stall_timeout);

  // The header to send now; empty for none.
  std::string Header() const;

  // Takes in the 401 of a request that had `sent` as its header. OK if Header() is worth another
  // try. Unauthenticated if there is nothing (left) to authenticate with or the token server
  // refuses, Unavailable if that cannot be reached, or operation's error. `plain` says that the
  // host was spoken to without TLS.
  absl::Status Answer(const HttpReply& reply,
                      const std::string& sent,
                      bool plain,
                      const Operation& operation);

 private:
  absl::StatusOr<std::string> BearerHeader(const AuthChallenge& challenge,
                                           const std::string& sent,
                                           bool plain,
                                           const Operation& operation);
  absl::StatusOr<Token> FetchToken(const std::string& realm,
                                   const std::string& service,
                                   const std::string& scope,
                                   const Operation& operation);
  HttpRequest TokenRequest(const std::string& realm,
                           const std::string& service,
                           const std::string& scope) const;

  HttpClient* const client_;
  TokenCache* const tokens_;
  const RegistryHost host_;
  const Credentials credentials_;
  const std::string repository_;
  const absl::Duration stall_timeout_;
  const std::string identity_;  // whose tokens, as a hash

  mutable absl::Mutex mutex_;
  std::string header_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_REGISTRY_REGISTRY_AUTH_H_
