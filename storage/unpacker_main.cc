// The confined child that unpacks one layer: see LayerUnpack for its other end.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "storage/byte_ring.h"
#include "storage/confinement.h"
#include "storage/decompressor.h"
#include "storage/digest.h"
#include "storage/image_store.h"
#include "storage/layer_applier.h"
#include "storage/layer_tar.h"

namespace crisp::storage {
namespace {

constexpr int kStream = 0;
constexpr int kTarget = 3;
constexpr int kReport = 4;
constexpr uint64_t kSpaceCheckEvery = 32u << 20;

absl::StatusOr<size_t> ReadStream(char* buffer, size_t size) {
  while (true) {
    const ssize_t n = read(kStream, buffer, size);
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR) return ErrnoError(errno, "read the layer's stream");
  }
}

absl::Status CheckFreeSpace(uint64_t min_free) {
  struct statfs fs {};
  if (fstatfs(kTarget, &fs) != 0) return ErrnoError(errno, "look at the file system");
  const uint64_t free = static_cast<uint64_t>(fs.f_bavail) * static_cast<uint64_t>(fs.f_bsize);
  if (free < min_free) {
    return absl::ResourceExhaustedError(
        absl::StrCat("unpack layer: only ", free, " bytes are free, ", min_free, " must stay"));
  }
  return absl::OkStatus();
}

struct Inflated {
  absl::Status status;
  std::string diff_id;
  DecompressResult bytes;
};

// The first half of the pipeline, on its own thread: read, inflate, hash.
void Inflate(uint64_t max_bytes, uint64_t min_free, ByteRing& ring, Inflated& result) {
  Hasher hasher;
  uint64_t until_check = 0;
  auto sink = [&](absl::string_view bytes) -> absl::Status {
    if (until_check < bytes.size()) {
      CRISP_RETURN_IF_ERROR(CheckFreeSpace(min_free));
      until_check = kSpaceCheckEvery;
    }
    until_check -= std::min<uint64_t>(until_check, bytes.size());
    hasher.Update(bytes);
    return ring.Push(bytes);
  };
  absl::StatusOr<DecompressResult> bytes =
      Decompress(ReadStream, sink, {.max_output = max_bytes});
  result.status = bytes.status();
  if (bytes.ok()) {
    result.bytes = *bytes;
    result.diff_id = hasher.Finish();
  }
  ring.Close(result.status);
}

absl::StatusOr<Json> Unpack(uint64_t max_bytes, uint64_t min_free, std::string& listed) {
  ByteRing ring;
  Inflated inflated;
  std::thread inflater(
      [&] { Inflate(max_bytes, min_free, ring, inflated); });
  LayerApplier applier(kTarget);
  absl::Status status = ApplyTar([&ring](char* buffer, size_t size) { return ring.Pop(buffer, size); },
                                 applier);
  if (status.ok()) {
    ring.Discard();  // padding behind the archive's end counts for the digest only
  } else {
    ring.Abandon();
  }
  inflater.join();
  // The stream's own error explains the archive's.
  if (!inflated.status.ok() && !absl::IsCancelled(inflated.status)) return inflated.status;
  CRISP_RETURN_IF_ERROR(status);
  CRISP_ASSIGN_OR_RETURN(const LayerContent content, applier.Finish());
  for (const std::string& directory : content.opaque_dirs) {
    listed.append("o").append(directory).push_back('\0');
  }
  for (const std::string& directory : content.implicit_dirs) {
    listed.append("i").append(directory).push_back('\0');
  }
  return Json{{"code", 0},
              {"diff_id", inflated.diff_id},
              {"compressed_bytes", inflated.bytes.input_bytes},
              {"archive_bytes", inflated.bytes.output_bytes},
              {"entries", content.entries},
              {"inodes", content.inodes},
              {"bytes", content.bytes},
              {"disk_bytes", content.disk_bytes}};
}

absl::StatusOr<Json> ConfineAndUnpack(int argc, char** argv, std::string& listed) {
  uint64_t max_bytes = 0, min_free = 0;
  if (argc != 4 || !absl::SimpleAtoi(argv[2], &max_bytes) || !absl::SimpleAtoi(argv[3], &min_free)) {
    return absl::InvalidArgumentError("usage: unpack-layer MAX-BYTES MIN-FREE-BYTES");
  }
  // What these load from disk on first use is out of reach afterwards.
  PrepareTarReader();
  (void)Sha256Digest("");
  CRISP_RETURN_IF_ERROR(ConfineUnpacker(kTarget));
  return Unpack(max_bytes, min_free, listed);
}

}  // namespace

int UnpackerMain(int argc, char** argv) {
  std::string listed;
  absl::StatusOr<Json> result = ConfineAndUnpack(argc, argv, listed);
  Json report = result.ok() ? *result
                            : Json{{"code", static_cast<int>(result.status().code())},
                                   {"message", std::string(result.status().message())}};
  const std::string text = absl::StrCat(DumpJson(report), "\n", listed);
  const bool told = WriteAll(kReport, text, "the report").ok();
  _exit(result.ok() && told ? 0 : 1);
}

}  // namespace crisp::storage
