#include "streaming/server/tokens.h"

#include <sys/random.h>

#include <cerrno>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::streaming {
namespace {

absl::StatusOr<std::string> RandomToken() {
  char bytes[16];
  if (getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) {
    int error = errno;
    return ErrnoError(error, "draw a streaming token");
  }
  return absl::WebSafeBase64Escape(absl::string_view(bytes, sizeof bytes));
}

}  // namespace

absl::StatusOr<std::string> Tokens::Add(SessionRequest request) {
  CRISP_ASSIGN_OR_RETURN(std::string token, RandomToken());
  absl::MutexLock lock(&mutex_);
  DropExpired();
  if (by_age_.size() >= cap_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("make a streaming URL: ", cap_, " are waiting for their client already"));
  }
  by_age_.push_back(
      {.token = token, .request = std::move(request), .expires = clock_.Now() + ttl_});
  by_token_[token] = std::prev(by_age_.end());
  return token;
}

std::optional<SessionRequest> Tokens::Take(absl::string_view token, SessionRequest::Kind kind) {
  return *TakeIf(token, kind, [](const SessionRequest&) { return absl::OkStatus(); });
}

absl::StatusOr<std::optional<SessionRequest>> Tokens::TakeIf(
    absl::string_view token,
    SessionRequest::Kind kind,
    absl::FunctionRef<absl::Status(const SessionRequest&)> admit) {
  absl::MutexLock lock(&mutex_);
  DropExpired();
  auto found = by_token_.find(token);
  if (found == by_token_.end() || found->second->request.kind != kind) return std::nullopt;
  CRISP_RETURN_IF_ERROR(admit(found->second->request));
  SessionRequest request = std::move(found->second->request);
  by_age_.erase(found->second);
  by_token_.erase(found);
  return request;
}

size_t Tokens::size() const {
  absl::MutexLock lock(&mutex_);
  return by_age_.size();
}

void Tokens::DropExpired() {
  const absl::Time now = clock_.Now();
  while (!by_age_.empty() && by_age_.front().expires <= now) {
    by_token_.erase(by_age_.front().token);
    by_age_.pop_front();
  }
}

}  // namespace crisp::streaming
