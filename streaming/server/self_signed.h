#ifndef CRISP_STREAMING_SERVER_SELF_SIGNED_H_
#define CRISP_STREAMING_SERVER_SELF_SIGNED_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace crisp::streaming {

struct PemPair {
  std::string certificate;
  std::string key;
};

// A new P-256 key and a certificate for `names` (host names and IP addresses) that it signs itself,
// good from an hour before `now` to `lifetime` after. Internal when OpenSSL refuses.
absl::StatusOr<PemPair> MakeSelfSigned(const std::vector<std::string>& names,
                                       absl::Time now,
                                       absl::Duration lifetime);

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SERVER_SELF_SIGNED_H_
