#ifndef CRISP_STORAGE_UNPACK_UNPACK_BROKER_H_
#define CRISP_STORAGE_UNPACK_UNPACK_BROKER_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/spawn.h"
#include "base/unique_fd.h"
#include "storage/layer/layer_form.h"

namespace crisp::storage {

struct UnpackOptions {
  uint64_t max_bytes = uint64_t{1} << 40;        // of the uncompressed archive
  uint64_t min_free_bytes = uint64_t{64} << 20;  // left on the file system, else ResourceExhausted
  // Inodes to leave on a file system that counts them, or a twentieth of what it has, if that is
  // less.
  uint64_t min_free_inodes = 20'000;
  uint64_t max_files = 10'000'000;            // members of the archive
  uint64_t max_window = uint64_t{128} << 20;  // see DecompressLimits
  uint64_t max_cpu_seconds = 3600;            // of all its threads
  absl::Duration stall_timeout =
      absl::Minutes(1);  // without any progress of the unpacker: DeadlineExceeded
};

// One message to the broker. The stream, the layer's directory or file and the report's pipe go
// with it. It is not answered: an unpacker begins its report with its pid, and without an unpacker
// there is no report. Both ends come from one build.
struct UnpackRequest {
  UnpackOptions options;
  char form[LayerForm::kMaxName + 1] = {};  // its name
};
constexpr int kUnpackRequestFds = 3;
// Before the first request come the unpackers' filters of system calls, for a directory and for a
// file, in messages of their own.
constexpr size_t kMaxUnpackFilter = 4096;  // instructions, as the kernel has it
// A report is a line of JSON and directories, each ended by a NUL: "o" and an opaque one's path,
// "i" and an implicit one's, "w" and that of one with whiteouts. Then comes this, so that a report
// that was cut off is told from a whole one.
constexpr absl::string_view kReportEnd("e\0", 2);

// A small process that has loaded everything that unpacking needs and has read nothing of an image.
// It forks an unpacker for each layer, so none of them starts a program, and none inherits what
// another has read. It ends with this object. Thread-safe.
class UnpackBroker {
 public:
  // The longest time in which it must take a request, and in which it must end.
  static constexpr absl::Duration kPatience = absl::Seconds(5);

  // `program` is crisp-unpacker. NotFound if there is none.
  static absl::StatusOr<std::unique_ptr<UnpackBroker>> Start(const std::string& program);
  ~UnpackBroker();
  UnpackBroker(const UnpackBroker&) = delete;
  UnpackBroker& operator=(const UnpackBroker&) = delete;

  // Asks for an unpacker and does not wait for it. The unpacker is confined before it reads its
  // first byte (see ConfineUnpacker), and is a child of this process, which waits for it. The
  // descriptors stay the caller's. Unavailable if the broker is dead, or takes no request within
  // kPatience, which counts as dead.
  absl::Status Fork(
      const LayerForm& form, const UnpackOptions& options, int stream, int target, int report);
  // False once Fork() found it dead.
  bool alive() const;
  const std::shared_ptr<ChildReaper>& ended() const { return ended_; }

 private:
  UnpackBroker(pid_t pid, UniqueFd socket)
      : pid_(pid), socket_(std::make_shared<UniqueFd>(std::move(socket))) {}

  const pid_t pid_;
  // Its unpackers that have said all, or were killed.
  const std::shared_ptr<ChildReaper> ended_ = std::make_shared<ChildReaper>(absl::Seconds(2));
  mutable absl::Mutex mutex_;
  std::shared_ptr<UniqueFd> socket_ ABSL_GUARDED_BY(mutex_);  // null if it is dead
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_UNPACK_UNPACK_BROKER_H_
