#include "storage/registry/registry_auth.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/json.h"
#include "base/status.h"
#include "storage/oci/digest.h"
#include "storage/registry/http_url.h"
#include "storage/registry/registry_throttle.h"

namespace crisp::storage {
namespace {

// The distribution specification's default when a token server names no lifetime.
constexpr int64_t kDefaultLifetimeSeconds = 60;
constexpr int64_t kMaxLifetimeSeconds = 24 * 3600;
// A token that is about to expire would expire on its way.
constexpr absl::Duration kExpiryMargin = absl::Seconds(5);
constexpr size_t kMaxTokens = 512;
constexpr size_t kMaxTokenBytes = 32u << 10;
constexpr char kClientId[] = "crisp";
constexpr int kTokenTries = 4;

// May stand in a header behind "Bearer ".
bool IsTokenText(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxTokenBytes &&
         std::all_of(text.begin(), text.end(), absl::ascii_isgraph);
}

absl::Status BadCredentials(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("registry credentials: ", why));
}

std::string Basic(const Credentials& credentials) {
  return absl::StrCat(
      "Basic ", absl::Base64Escape(absl::StrCat(credentials.username, ":", credentials.password)));
}

std::string Identity(const Credentials& credentials) {
  if (credentials.empty()) return "anonymous";
  return Sha256Digest(absl::StrCat(credentials.username, "\n", credentials.password, "\n",
                                   credentials.identity_token));
}

std::string Parameter(const AuthChallenge& challenge, const char* name) {
  const auto it = challenge.parameters.find(name);
  return it == challenge.parameters.end() ? "" : it->second;
}

// The host that a server_address means: "https://index.docker.io/v1/", "registry.example:5000".
std::string AddressHost(absl::string_view address) {
  absl::string_view scheme = "https";
  if (const size_t mark = address.find("://"); mark != absl::string_view::npos) {
    scheme = address.substr(0, mark);
    address.remove_prefix(mark + 3);
  }
  return CanonicalHost(address.substr(0, address.find('/')), scheme);
}

}  // namespace

absl::StatusOr<Credentials> DecodeCredentials(const RegistryAuth& auth) {
  Credentials credentials;
  if (!auth.username.empty()) {
    credentials.username = auth.username;
    credentials.password = auth.password;
  } else if (!auth.auth.empty()) {
    std::string decoded;
    if (!absl::Base64Unescape(auth.auth, &decoded)) return BadCredentials("'auth' is not base64");
    const size_t colon = decoded.find(':');
    if (colon == std::string::npos || colon == 0) {
      return BadCredentials("'auth' is not base64 of user:password");
    }
    credentials.username = decoded.substr(0, colon);
    credentials.password = decoded.substr(colon + 1);
    // Some tools pad the password with NUL bytes.
    credentials.password.resize(credentials.password.find_last_not_of('\0') + 1);
  } else if (!auth.identity_token.empty()) {
    credentials.identity_token = auth.identity_token;
  } else if (!auth.registry_token.empty()) {
    if (!IsTokenText(auth.registry_token)) return BadCredentials("'registry_token' is not a token");
    credentials.registry_token = auth.registry_token;
  }
  return credentials;
}

std::vector<std::string> SecretsOf(const Credentials& credentials) {
  std::vector<std::string> secrets;
  for (const std::string* text :
       {&credentials.password, &credentials.identity_token, &credentials.registry_token}) {
    if (text->empty()) continue;
    secrets.push_back(*text);
    secrets.push_back(UrlEscape(*text));
  }
  if (!credentials.username.empty()) {
    // Padding says nothing, and may be left out.
    const std::string pair = absl::StrCat(credentials.username, ":", credentials.password);
    secrets.push_back(
        std::string(absl::StripSuffix(absl::StripSuffix(absl::Base64Escape(pair), "="), "=")));
    secrets.push_back(std::string(
        absl::StripSuffix(absl::StripSuffix(absl::WebSafeBase64Escape(pair), "="), "=")));
  }
  return secrets;
}

bool MaySeeCredentials(const RegistryHost& host,
                       absl::string_view registry,
                       absl::string_view server_address) {
  const std::string self = CanonicalHost(host.host, host.scheme);
  if (server_address.empty()) return host.upstream;
  const std::string named = AddressHost(server_address);
  return named == self || (host.upstream && named == CanonicalHost(registry, host.scheme));
}

absl::StatusOr<Token> ParseTokenReply(absl::string_view body, absl::Time now) {
  CRISP_ASSIGN_OR_RETURN(const Json reply,
                         ParseJson(body, {.max_bytes = 64u << 10, .max_depth = 8}));
  Token token;
  CRISP_ASSIGN_OR_RETURN(token.value, JsonString(reply, "token"));
  if (token.value.empty()) {
    CRISP_ASSIGN_OR_RETURN(token.value, JsonString(reply, "access_token"));
  }
  if (!IsTokenText(token.value)) return absl::InvalidArgumentError("no usable token in the reply");
  CRISP_ASSIGN_OR_RETURN(int64_t seconds, JsonInt(reply, "expires_in", kDefaultLifetimeSeconds));
  if (seconds <= 0) seconds = kDefaultLifetimeSeconds;
  token.expires = now + absl::Seconds(std::min(seconds, kMaxLifetimeSeconds));
  return token;
}

std::optional<std::string> TokenCache::Find(const std::string& key) {
  absl::MutexLock lock(&mutex_);
  const auto it = tokens_.find(key);
  if (it == tokens_.end() || it->second.expires - kExpiryMargin <= absl::Now()) return std::nullopt;
  return it->second.value;
}

void TokenCache::Put(const std::string& key, Token token) {
  absl::MutexLock lock(&mutex_);
  if (tokens_.size() >= kMaxTokens) {
    const absl::Time now = absl::Now();
    absl::erase_if(tokens_, [now](const auto& entry) { return entry.second.expires <= now; });
    if (tokens_.size() >= kMaxTokens) tokens_.clear();
  }
  tokens_[key] = std::move(token);
}

Authorizer::Authorizer(HttpClient* client,
                       TokenCache* tokens,
                       const RegistryHost& host,
                       Credentials credentials,
                       std::string repository,
                       absl::Duration stall_timeout)
    : client_(client),
      tokens_(tokens),
      host_(host),
      credentials_(std::move(credentials)),
      repository_(std::move(repository)),
      stall_timeout_(stall_timeout),
      identity_(Identity(credentials_)) {
  // A ready-made token needs no challenge first.
  if (!credentials_.registry_token.empty()) header_ = "Bearer " + credentials_.registry_token;
}

std::string Authorizer::Header() const {
  absl::MutexLock lock(&mutex_);
  return header_;
}

absl::Status Authorizer::Answer(const HttpReply& reply,
                                const std::string& sent,
                                bool plain,
                                const Operation& operation) {
  if (Header() != sent) return absl::OkStatus();  // another thread has answered meanwhile
  std::vector<AuthChallenge> challenges;
  const auto [first, last] = reply.headers.equal_range("www-authenticate");
  for (auto it = first; it != last; ++it) {
    for (AuthChallenge& challenge : ParseWwwAuthenticate(it->second)) {
      challenges.push_back(std::move(challenge));
    }
  }
  std::string answer;
  for (const AuthChallenge& challenge : challenges) {
    if (challenge.scheme != "bearer" || !credentials_.registry_token.empty()) continue;
    CRISP_ASSIGN_OR_RETURN(answer, BearerHeader(challenge, sent, plain, operation));
    break;
  }
  const bool basic = std::any_of(challenges.begin(), challenges.end(),
                                 [](const AuthChallenge& c) { return c.scheme == "basic"; });
  if (answer.empty() && basic && !credentials_.username.empty()) answer = Basic(credentials_);
  if (answer.empty() || answer == sent) {
    return absl::UnauthenticatedError(
        sent.empty() ? "authentication required, and there are no credentials for this host"
                     : "credentials refused");
  }
  absl::MutexLock lock(&mutex_);
  header_ = std::move(answer);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Authorizer::BearerHeader(const AuthChallenge& challenge,
                                                     const std::string& sent,
                                                     bool plain,
                                                     const Operation& operation) {
  const std::string realm = Parameter(challenge, "realm");
  if (UrlOrigin(realm).empty()) {
    return absl::UnauthenticatedError("challenge names no token server");
  }
  if (!credentials_.empty() && !plain && absl::StartsWithIgnoreCase(realm, "http:")) {
    return absl::UnauthenticatedError(
        "refused to send credentials to a token server over plain http");
  }
  const std::string service = Parameter(challenge, "service");
  std::string scope = Parameter(challenge, "scope");
  if (scope.empty()) scope = absl::StrCat("repository:", repository_, ":pull");

  const std::string key = absl::StrCat(realm, "\n", service, "\n", scope, "\n", identity_);
  if (std::optional<std::string> known = tokens_->Find(key)) {
    std::string header = "Bearer " + *known;
    if (header != sent) return header;
  }
  CRISP_ASSIGN_OR_RETURN(Token token, FetchToken(realm, service, scope, operation));
  std::string header = "Bearer " + token.value;
  tokens_->Put(key, std::move(token));
  return header;
}

HttpRequest Authorizer::TokenRequest(const std::string& realm,
                                     const std::string& service,
                                     const std::string& scope) const {
  HttpRequest request{.url = realm, .stall_timeout = stall_timeout_};
  request.peer = {.skip_verify = host_.skip_verify,
                  .ca_files = host_.ca_files,
                  .dial_timeout = host_.dial_timeout};
  if (UrlOrigin(realm) == UrlOrigin(absl::StrCat(host_.scheme, "://", host_.host))) {
    request.private_headers = host_.headers;
    if (!host_.client_pairs.empty()) {
      std::tie(request.peer.client_certificate, request.peer.client_key) = host_.client_pairs[0];
    }
  }
  std::string query = absl::StrCat("scope=", UrlEscape(scope));
  if (!service.empty()) absl::StrAppend(&query, "&service=", UrlEscape(service));
  if (!credentials_.identity_token.empty()) {
    request.form = absl::StrCat(query, "&grant_type=refresh_token&client_id=", kClientId,
                                "&refresh_token=", UrlEscape(credentials_.identity_token));
    return request;
  }
  if (!credentials_.username.empty()) {
    absl::StrAppend(&query, "&account=", UrlEscape(credentials_.username));
    request.private_headers.emplace_back("Authorization", Basic(credentials_));
  }
  absl::StrAppend(&request.url, absl::StrContains(realm, "?") ? "&" : "?", query);
  return request;
}

absl::StatusOr<Token> Authorizer::FetchToken(const std::string& realm,
                                             const std::string& service,
                                             const std::string& scope,
                                             const Operation& operation) {
  HttpReply reply;
  // As patient as with the registry itself.
  for (int tries = 1;; ++tries) {
    reply = client_->Send(TokenRequest(realm, service, scope), nullptr, operation);
    const std::optional<absl::Duration> wait = ThrottleWait(reply, true, tries);
    if (!wait || tries == kTokenTries) break;
    CRISP_RETURN_IF_ERROR(SleepUnlessCancelled(*wait, operation));
  }
  if (reply.end != HttpEnd::kComplete) return Annotate(reply.error, "get a token");
  const std::string where = absl::StrCat("token server ", ScrubUrls(realm));
  if (reply.status >= 500 || reply.status == 429) {
    return absl::UnavailableError(absl::StrCat(where, " answered HTTP ", reply.status));
  }
  if (reply.status != 200) {
    return absl::UnauthenticatedError(absl::StrCat(where, " refused a token: HTTP ", reply.status));
  }
  absl::StatusOr<Token> token = ParseTokenReply(reply.body, absl::Now());
  if (!token.ok()) {
    return absl::UnauthenticatedError(absl::StrCat(where, ": ", token.status().message()));
  }
  return token;
}

}  // namespace crisp::storage
