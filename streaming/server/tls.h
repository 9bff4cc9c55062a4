#ifndef CRISP_STREAMING_SERVER_TLS_H_
#define CRISP_STREAMING_SERVER_TLS_H_

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "streaming/server/server_options.h"

namespace crisp::streaming {

// The keys that the server shows. They come from files, which are read again when one of them
// changes, or are made here. TLS 1.2 and later. Thread-safe.
class TlsKeys {
 public:
  using Context = std::shared_ptr<boost::asio::ssl::context>;

  // `names` are the host names and addresses for a certificate of our own. InvalidArgument for a
  // certificate without its key, and for files that hold no matching pair. NotFound and other
  // errors for files that cannot be read.
  static absl::StatusOr<std::unique_ptr<TlsKeys>> Load(TlsOptions options,
                                                       std::vector<std::string> names,
                                                       absl::Time now);

  // The keys for the next connection; a connection keeps those that it has. Looks at the files at
  // most once a second. When their new contents are unusable, the old keys stay, and the log says
  // why. A certificate of our own is made anew a month before it expires.
  Context Get(absl::Time now);

 private:
  TlsKeys(TlsOptions options, std::vector<std::string> names)
      : options_(std::move(options)), names_(std::move(names)) {}
  absl::Status Renew(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Stale(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Inode, size and modification time of each file. It differs after a file has changed.
  std::string Fingerprint() const;

  const TlsOptions options_;
  const std::vector<std::string> names_;
  absl::Mutex mutex_;
  Context context_ ABSL_GUARDED_BY(mutex_);
  std::string fingerprint_ ABSL_GUARDED_BY(mutex_);
  absl::Time checked_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time renew_at_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SERVER_TLS_H_
