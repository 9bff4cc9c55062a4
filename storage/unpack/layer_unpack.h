#ifndef CRISP_STORAGE_UNPACK_LAYER_UNPACK_H_
#define CRISP_STORAGE_UNPACK_LAYER_UNPACK_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/operation.h"
#include "base/unique_fd.h"
#include "storage/layer/layer_form.h"
#include "storage/unpack/unpack_broker.h"

namespace crisp::storage {

struct UnpackResult {
  std::string diff_id;  // digest of the uncompressed archive
  uint64_t compressed_bytes = 0;
  uint64_t archive_bytes = 0;  // uncompressed
  uint64_t entries = 0;
  uint64_t inodes = 0;  // see LayerContent
  uint64_t bytes = 0;
  uint64_t disk_bytes = 0;
  // LayerContent::implicit_dirs by their real paths, with no symlink in them; "." is the root.
  std::vector<std::string> implicit_dirs;
  std::vector<std::string> whiteout_dirs;   // as well
  std::vector<std::string> dropped_xattrs;  // see LayerContent
  bool opaque_root = false;
};

// One layer that a confined child process of its own unpacks (see unpacker_main.cc). Bytes go in by
// Write() on one thread while the child inflates, hashes and writes. Destroying the object kills
// and reaps the child. After any failure the target holds rubbish, which the caller removes.
class LayerUnpack {
 public:
  // `target_fd` is an empty target of the form's kind: a directory (not O_PATH), or a file that is
  // open for writing. The broker need not outlive this.
  static absl::StatusOr<std::unique_ptr<LayerUnpack>> Start(UnpackBroker& broker,
                                                            const LayerForm& form,
                                                            int target_fd,
                                                            const UnpackOptions& options = {});
  ~LayerUnpack();
  LayerUnpack(const LayerUnpack&) = delete;
  LayerUnpack& operator=(const LayerUnpack&) = delete;

  // Blocks while the child is behind. `operation`'s error, what the child reported when it gave up,
  // or DeadlineExceeded when it neither took a byte nor used the processor for the stall timeout.
  absl::Status Write(absl::string_view bytes, const Operation& operation);
  // Called when the stream is complete. Waits for the child and marks opaque directories. Call
  // once. Errors are those of Decompress, ApplyTar and LayerSink; Internal if the child died
  // without a word.
  absl::StatusOr<UnpackResult> Finish(const Operation& operation);

 private:
  LayerUnpack(UniqueFd stream,
              UniqueFd report,
              UniqueFd target,
              LayerTarget kind,
              const UnpackOptions& options,
              std::shared_ptr<ChildReaper> ended);
  // Waits until the child exists. False if it never will.
  absl::StatusOr<bool> Meet(const Operation& operation);
  // Waits until the descriptor is ready, the operation ends or it is time for a Check(): false.
  bool Await(int fd, short events, const CancelEvent& cancelled) const;
  // While there is something to wait for: `operation`'s error, or that the child has stalled.
  absl::Status Check(const Operation& operation);
  absl::StatusOr<UnpackResult> Report(const Operation& operation);
  absl::Status WithoutReport(const Operation& operation);
  absl::StatusOr<std::string> ReadReport(const Operation& operation);
  absl::StatusOr<UnpackResult> ParseReport(absl::string_view report);

  pid_t pid_ = 0;  // 0 until Meet(), -1 if there is none (any more)
  UniqueFd stream_;
  UniqueFd report_;
  UniqueFd target_;
  const LayerTarget kind_;
  const absl::Duration stall_timeout_;
  const uint64_t max_cpu_seconds_;
  const std::shared_ptr<ChildReaper> ended_;
  absl::Time progress_ = absl::Now();  // the last time at which it was seen to get on
  absl::Duration cpu_;                 // the processor time that it had used then
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_UNPACK_LAYER_UNPACK_H_
