#ifndef CRISP_STREAMING_SERVER_TOKENS_H_
#define CRISP_STREAMING_SERVER_TOKENS_H_

#include <list>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "streaming/wire/session_request.h"

namespace crisp::streaming {

// The requests whose URL was handed out and not used yet. A token is 128 random bits as 22
// base64url characters. Anybody who knows one may use it, so it cannot be guessed, works once, and
// only for a while. Thread-safe.
class Tokens {
 public:
  Tokens(absl::Duration ttl, size_t cap, Clock& clock) : ttl_(ttl), cap_(cap), clock_(clock) {}

  // Remembers `request`. ResourceExhausted when `cap` requests are waiting.
  absl::StatusOr<std::string> Add(SessionRequest request);

  // Takes the request back out. nullopt if the token is unknown, spent or expired, or stands for
  // another kind of request (it stays then).
  std::optional<SessionRequest> Take(absl::string_view token, SessionRequest::Kind kind);

  // The same, unless `admit` refuses the request. Then the request stays for another try, and the
  // error is returned.
  absl::StatusOr<std::optional<SessionRequest>> TakeIf(
      absl::string_view token,
      SessionRequest::Kind kind,
      absl::FunctionRef<absl::Status(const SessionRequest&)> admit);

  size_t size() const;

 private:
  struct Entry {
    std::string token;
    SessionRequest request;
    absl::Time expires;
  };
  void DropExpired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const absl::Duration ttl_;
  const size_t cap_;
  Clock& clock_;
  mutable absl::Mutex mutex_;
  std::list<Entry> by_age_
      ABSL_GUARDED_BY(mutex_);  // all live equally long, so the oldest is in front
  absl::flat_hash_map<std::string, std::list<Entry>::iterator> by_token_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SERVER_TOKENS_H_
