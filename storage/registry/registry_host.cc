#include "storage/registry/registry_host.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json.h"
#include "base/status.h"
#include "storage/registry/http_url.h"
#include "storage/registry/registry_throttle.h"

namespace crisp::storage {
namespace {

constexpr int kMaxThrottleWaits = 3;
constexpr int kMaxChallenges = 2;  // one for a stale token, one for its replacement
// Long enough for a loopback handshake; a plain-http server may just wait for more of the
// "request".
constexpr absl::Duration kFallbackDialTimeout = absl::Seconds(5);
constexpr size_t kMaxErrorText = 256;

// The registry's own words, from {"errors":[{"code":…,"message":…}]}; "" when there are none.
std::string ErrorText(const std::string& body) {
  const absl::StatusOr<Json> json = ParseJson(body, {.max_bytes = 64u << 10, .max_depth = 16});
  if (!json.ok() || !json->is_object()) return "";
  const absl::StatusOr<const Json*> errors = JsonArray(*json, "errors");
  if (!errors.ok() || (*errors)->empty() || !(**errors)[0].is_object()) return "";
  const std::string code = JsonString((**errors)[0], "code").value_or("");
  const std::string message = JsonString((**errors)[0], "message").value_or("");
  return absl::CHexEscape(ScrubUrls(absl::StrCat(code, ": ", message)).substr(0, kMaxErrorText));
}

absl::Status StatusOfReply(const HttpReply& reply) {
  if (reply.end != HttpEnd::kComplete) return reply.error;
  const int status = reply.status;
  if (status == 200 || status == 206) return absl::OkStatus();
  const std::string words = ErrorText(reply.body);
  const std::string text =
      absl::StrCat("HTTP ", status, words.empty() ? "" : " (", words, words.empty() ? "" : ")");
  if (status == 401) return absl::UnauthenticatedError(text);
  if (status == 403) return absl::PermissionDeniedError(text);
  if (status == 404 || status == 410) return absl::NotFoundError(text);
  const std::string again(reply.Header("retry-after").substr(0, 64));
  if (again.empty()) return absl::UnavailableError(text);
  return absl::UnavailableError(
      absl::StrCat(text, ", come back in ",
                   absl::FormatDuration(absl::Trunc(
                       RetryAfter(again, absl::Now(), absl::ZeroDuration()), absl::Seconds(1)))));
}

}  // namespace

HostClient::HostClient(HttpClient* http,
                       TokenCache* tokens,
                       RegistryHost host,
                       Credentials credentials,
                       std::string registry,
                       std::string repository,
                       absl::Duration stall_timeout)
    : http_(http),
      host_(std::move(host)),
      registry_(std::move(registry)),
      repository_(std::move(repository)),
      stall_timeout_(stall_timeout),
      authorizer_(http, tokens, host_, std::move(credentials), repository_, stall_timeout),
      plain_(host_.scheme == "http") {}

HttpRequest HostClient::MakeRequest(const std::string& path,
                                    bool verified,
                                    const std::string& authorization) const {
  HttpRequest request{.stall_timeout = stall_timeout_, .follow_to_plain_http = verified};
  request.url = absl::StrCat(plain_ ? "http" : "https", "://", host_.host, host_.path, "/",
                             repository_, "/", path);
  if (host_.send_namespace) absl::StrAppend(&request.url, "?ns=", UrlEscape(registry_));
  request.peer = {.skip_verify = host_.skip_verify,
                  .ca_files = host_.ca_files,
                  .dial_timeout = host_.dial_timeout};
  if (host_.http_fallback && !plain_) {
    request.peer.dial_timeout = std::min(request.peer.dial_timeout, kFallbackDialTimeout);
  }
  if (!host_.client_pairs.empty()) {
    std::tie(request.peer.client_certificate, request.peer.client_key) = host_.client_pairs[0];
  }
  bool own_authorization = false;
  for (const auto& header : host_.headers) {
    own_authorization |= absl::EqualsIgnoreCase(header.first, "authorization");
    request.private_headers.push_back(header);
  }
  if (!authorization.empty() && !own_authorization) {
    request.private_headers.emplace_back("Authorization", authorization);
  }
  return request;
}

HttpReply HostClient::SendEitherScheme(
    const std::string& path,
    const std::vector<std::pair<std::string, std::string>>& headers,
    bool verified,
    const std::string& authorization,
    const HttpSink& sink,
    const Operation& operation) {
  HttpRequest request = MakeRequest(path, verified, authorization);
  request.headers = headers;
  HttpReply reply = http_->Send(request, sink, operation);
  const bool no_tls = reply.end == HttpEnd::kTlsFailed || reply.end == HttpEnd::kNotReached;
  if (!plain_ && host_.http_fallback && no_tls) {
    request.url.replace(0, 5, "http");
    HttpReply plain = http_->Send(request, sink, operation);
    // Only a host that answers settles the question: it may have been down for both.
    if (plain.end == HttpEnd::kComplete) plain_ = true;
    reply = std::move(plain);
  }
  if (reply.end != HttpEnd::kCancelled) unreachable_ = reply.end == HttpEnd::kNotReached;
  return reply;
}

HostClient::Outcome HostClient::Get(const std::string& path,
                                    const std::vector<std::pair<std::string, std::string>>& headers,
                                    bool verified,
                                    const HttpSink& sink,
                                    const Operation& operation) {
  int waits = 0;
  int challenges = 0;
  while (true) {
    const std::string authorization = authorizer_.Header();
    HttpReply reply = SendEitherScheme(path, headers, verified, authorization, sink, operation);
    absl::Status status = StatusOfReply(reply);
    if (reply.end == HttpEnd::kComplete && reply.status == 401 && challenges < kMaxChallenges) {
      ++challenges;
      absl::Status answered = authorizer_.Answer(reply, authorization, plain_, operation);
      if (answered.ok()) continue;
      if (absl::IsUnauthenticated(answered)) answered = Annotate(answered, status.message());
      return {std::move(answered), std::move(reply)};
    }
    if (waits < kMaxThrottleWaits) {
      if (const std::optional<absl::Duration> wait = ThrottleWait(reply, false, 1)) {
        ++waits;
        if (absl::Status slept = SleepUnlessCancelled(*wait, operation); !slept.ok()) {
          return {std::move(slept), std::move(reply)};
        }
        continue;
      }
    }
    return {std::move(status), std::move(reply)};
  }
}

void Attempts::Add(const RegistryHost& host, const absl::Status& status) {
  attempts_.emplace_back(host.host, status);
}

absl::Status Attempts::Verdict(absl::string_view what) const {
  if (attempts_.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(what, ": no configured host may serve this"));
  }
  const std::string text =
      absl::StrJoin(attempts_, "; ", [](std::string* out, const auto& attempt) {
        absl::StrAppend(out, attempt.first, ": ", attempt.second.message());
      });
  const auto any = [this](absl::StatusCode code) {
    return std::any_of(attempts_.begin(), attempts_.end(),
                       [code](const auto& attempt) { return attempt.second.code() == code; });
  };
  const auto last = attempts_.back().second.code();
  for (const auto code :
       {absl::StatusCode::kDataLoss, absl::StatusCode::kInvalidArgument,
        absl::StatusCode::kUnauthenticated, absl::StatusCode::kPermissionDenied}) {
    if (any(code)) return absl::Status(code, absl::StrCat(what, ": ", text));
  }
  // The registry itself is asked last: only its word says that an image does not exist.
  if (last == absl::StatusCode::kNotFound || last == absl::StatusCode::kDeadlineExceeded) {
    return absl::Status(last, absl::StrCat(what, ": ", text));
  }
  return absl::UnavailableError(absl::StrCat("RegistryUnavailable: ", what, ": ", text));
}

}  // namespace crisp::storage
