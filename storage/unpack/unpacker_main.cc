// crisp-unpacker: the broker that forks a confined process for every layer, and that process. See
// UnpackBroker and LayerUnpack for the other ends.
#include <fcntl.h>
#include <linux/filter.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/json.h"
#include "base/socket_fds.h"
#include "base/status.h"
#include "base/thread.h"
#include "storage/forms/layer_forms.h"
#include "storage/layer/byte_ring.h"
#include "storage/layer/decompressor.h"
#include "storage/layer/layer_tar.h"
#include "storage/oci/digest.h"
#include "storage/unpack/confinement.h"
#include "storage/unpack/unpack_broker.h"

namespace crisp::storage {
namespace {

constexpr int kControl = 0;  // of the broker
constexpr int kFirstParked = 10;
// Of an unpacker.
constexpr int kStream = 0;
constexpr int kTarget = 3;
constexpr int kReport = 4;
constexpr uint64_t kSpaceCheckEvery = 32u << 20;
// Less is inflated first and written then: a thread costs more than it gains.
constexpr uint64_t kWorthAThread = 256u << 10;

absl::StatusOr<size_t> ReadStream(char* buffer, size_t size) {
  while (true) {
    const ssize_t n = read(kStream, buffer, size);
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR) return ErrnoError(errno, "read the layer's stream");
  }
}

absl::Status CheckFreeSpace(const UnpackOptions& options) {
  struct statfs fs {};
  if (fstatfs(kTarget, &fs) != 0) return ErrnoError(errno, "look at the file system");
  const uint64_t free = static_cast<uint64_t>(fs.f_bavail) * static_cast<uint64_t>(fs.f_bsize);
  if (free < options.min_free_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the image store's disk is full: ", free >> 20, " MiB are free, ",
                     options.min_free_bytes >> 20,
                     " MiB must stay (remove images, or enlarge the file system)"));
  }
  // Zero where the file system makes inodes as they are needed.
  const uint64_t reserve = std::min<uint64_t>(options.min_free_inodes, fs.f_files / 20);
  if (fs.f_files > 0 && fs.f_ffree < reserve) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the image store's file system runs out of inodes: ", fs.f_ffree, " of ", fs.f_files,
        " are free, ", reserve, " must stay (df -i; remove images, or make it with more inodes)"));
  }
  return absl::OkStatus();
}

// Writes what comes out of a ring, on a thread of its own from Begin() on, else within Finish().
class Writer {
 public:
  Writer(ByteRing& ring, LayerSink& sink) : ring_(ring), sink_(sink) {}
  absl::Status Begin() {
    if (thread_.joinable()) return absl::OkStatus();
    CRISP_ASSIGN_OR_RETURN(thread_, Thread::Start("unpack", [this] { Run(); }));
    return absl::OkStatus();
  }
  // When the ring is closed.
  absl::StatusOr<LayerContent> Finish() {
    if (thread_.joinable()) {
      thread_.Join();
    } else {
      Run();
    }
    CRISP_RETURN_IF_ERROR(status_);
    return sink_.Finish();
  }

 private:
  void Run() {
    status_ =
        ApplyTar([this](char* buffer, size_t size) { return ring_.Pop(buffer, size); }, sink_);
    if (status_.ok()) {
      ring_.Discard();  // padding behind the archive's end counts for the digest only
    } else {
      ring_.Abandon();
    }
  }

  ByteRing& ring_;
  LayerSink& sink_;
  absl::Status status_;
  Thread thread_;
};

struct Inflated {
  std::string diff_id;
  DecompressResult bytes;
};

// The first half of the pipeline: read, inflate, hash.
absl::StatusOr<Inflated> Inflate(const UnpackOptions& options, ByteRing& ring, Writer& writer) {
  Hasher hasher;
  uint64_t until_check = 0, pushed = 0;
  auto sink = [&](absl::string_view bytes) -> absl::Status {
    if (until_check < bytes.size()) {
      CRISP_RETURN_IF_ERROR(CheckFreeSpace(options));
      until_check = kSpaceCheckEvery;
    }
    until_check -= std::min<uint64_t>(until_check, bytes.size());
    if ((pushed += bytes.size()) > kWorthAThread) CRISP_RETURN_IF_ERROR(writer.Begin());
    hasher.Update(bytes);
    return ring.Push(bytes);
  };
  absl::StatusOr<DecompressResult> bytes = Decompress(
      ReadStream, sink, {.max_output = options.max_bytes, .max_window = options.max_window});
  ring.Close(bytes.status());
  CRISP_RETURN_IF_ERROR(bytes.status());
  return Inflated{.diff_id = hasher.Finish(), .bytes = *bytes};
}

absl::StatusOr<Json> Unpack(const LayerForm& form,
                            const UnpackOptions& options,
                            std::string& listed) {
  ByteRing ring;
  static_assert(kWorthAThread < ByteRing::kCapacity, "what no thread reads has to fit");
  const std::unique_ptr<LayerSink> sink =
      form.MakeSink(kTarget, {.max_entries = options.max_files,
                              .look_around = [options] { return CheckFreeSpace(options); }});
  Writer writer(ring, *sink);
  const absl::StatusOr<Inflated> inflated = Inflate(options, ring, writer);
  const absl::StatusOr<LayerContent> content = writer.Finish();
  // The stream's own error explains the archive's.
  if (!inflated.ok() && !absl::IsCancelled(inflated.status())) return inflated.status();
  CRISP_RETURN_IF_ERROR(content.status());
  CRISP_RETURN_IF_ERROR(inflated.status());
  for (const std::string& directory : content->opaque_dirs) {
    listed.append("o").append(directory).push_back('\0');
  }
  for (const std::string& directory : content->implicit_dirs) {
    listed.append("i").append(directory).push_back('\0');
  }
  for (const std::string& directory : content->whiteout_dirs) {
    listed.append("w").append(directory).push_back('\0');
  }
  return Json{{"code", 0},
              {"opaque_root", content->opaque_root},
              {"dropped_xattrs", content->dropped_xattrs},
              {"diff_id", inflated->diff_id},
              {"compressed_bytes", inflated->bytes.input_bytes},
              {"archive_bytes", inflated->bytes.output_bytes},
              {"entries", content->entries},
              {"inodes", content->inodes},
              {"bytes", content->bytes},
              {"disk_bytes", content->disk_bytes}};
}

using Filter = std::vector<sock_filter>;
struct Filters {
  Filter directory, file;
};

absl::StatusOr<Json> ConfineAndUnpack(const UnpackRequest& request,
                                      const Filters& filters,
                                      std::string& listed) {
  const absl::string_view name(request.form, strnlen(request.form, sizeof(request.form)));
  const LayerForm* form = FindLayerForm(name);
  if (form == nullptr) {
    return absl::InternalError(
        absl::StrCat("unpack layer: the unpacker does not know the form '", name, "'"));
  }
  const LayerTarget target = form->target();
  CRISP_RETURN_IF_ERROR(ConfineUnpacker(
      target, kTarget, target == LayerTarget::kDirectory ? filters.directory : filters.file,
      {.more_memory = request.options.max_window, .cpu_seconds = request.options.max_cpu_seconds}));
  return Unpack(*form, request.options, listed);
}

[[noreturn]] void UnpackLayer(const UnpackRequest& request, const Filters& filters) {
  std::string listed;
  absl::StatusOr<Json> result = ConfineAndUnpack(request, filters, listed);
  Json report = result.ok() ? *result
                            : Json{{"code", static_cast<int>(result.status().code())},
                                   {"message", std::string(result.status().message())}};
  const std::string text = absl::StrCat(DumpJson(report), "\n", listed, kReportEnd);
  const bool told = WriteAll(kReport, text, "the report").ok();
  (void)close(kReport);  // crispd goes on while this process is taken down
  _exit(result.ok() && told ? 0 : 1);
}

Filter ReceiveFilter() {
  Filter filter(kMaxUnpackFilter);
  ssize_t n;
  do {
    n = recv(kControl, filter.data(), filter.size() * sizeof(sock_filter), 0);
  } while (n < 0 && errno == EINTR);
  filter.resize(n < 0 ? 0 : static_cast<size_t>(n) / sizeof(sock_filter));
  return filter;  // an empty one is an error of every unpacker
}

struct Request {
  UnpackRequest asked;
  std::vector<UniqueFd> fds;  // stream, target, report
};

// Nothing: crispd is gone or done.
std::optional<Request> Receive() {
  Request request;
  absl::StatusOr<Received> received =
      ReceiveWithFds(kControl, &request.asked, sizeof(request.asked), kUnpackRequestFds);
  if (!received.ok() || received->size != sizeof(request.asked) ||
      received->fds.size() != kUnpackRequestFds) {
    return std::nullopt;
  }
  request.fds = std::move(received->fds);
  return request;
}

// Parked above the targets first, so that no dup2 overwrites the source of a later one.
bool TakePlaces(const std::vector<UniqueFd>& fds) {
  constexpr int kPlaces[kUnpackRequestFds] = {kStream, kTarget, kReport};
  int parked[kUnpackRequestFds];
  for (int i = 0; i < kUnpackRequestFds; ++i) {
    parked[i] = fcntl(fds[static_cast<size_t>(i)].get(), F_DUPFD_CLOEXEC, kFirstParked);
    if (parked[i] < 0) return false;
  }
  for (int i = 0; i < kUnpackRequestFds; ++i) {
    if (dup2(parked[i], kPlaces[i]) < 0) return false;
  }
  return true;
}

// The child is crispd's, which waits for it: this process only lends its memory. If there can be no
// child, the report's pipe closes without a word.
void Fork(const Request& request, const Filters& filters) {
  if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr) != 0) return;
  const pid_t pid = getpid();
  if (write(request.fds.back().get(), &pid, sizeof(pid)) != sizeof(pid)) _exit(1);
  if (!TakePlaces(request.fds)) _exit(1);
  UnpackLayer(request.asked, filters);
}

int Serve() {
  (void)prctl(PR_SET_NAME, "crisp-unpacker");  // it was run by a descriptor's number
  (void)mallopt(M_ARENA_MAX, 1);               // an unpacker's two threads do not make one each
  PrepareTarReader();  // what it loads from disk on first use is out of the unpackers' reach
  Filters filters;
  filters.directory = ReceiveFilter();
  filters.file = ReceiveFilter();
  while (const std::optional<Request> request = Receive()) Fork(*request, filters);
  return 0;
}

}  // namespace
}  // namespace crisp::storage

int main() { return crisp::storage::Serve(); }
