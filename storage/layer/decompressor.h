#ifndef CRISP_STORAGE_LAYER_DECOMPRESSOR_H_
#define CRISP_STORAGE_LAYER_DECOMPRESSOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::storage {

// Reads up to `size` bytes into `buffer`; 0 at the end of the stream.
using ByteSource = std::function<absl::StatusOr<size_t>(char* buffer, size_t size)>;
// Takes bytes; its error ends the stream and is returned unchanged.
using ByteSink = std::function<absl::Status(absl::string_view)>;

struct DecompressLimits {
  uint64_t max_output = uint64_t{1} << 40;
  uint64_t max_window = uint64_t{128}
                        << 20;  // bytes of memory for a zstd frame's window; at most 2 GiB
};

struct DecompressResult {
  uint64_t input_bytes = 0;
  uint64_t output_bytes = 0;
};

// Moves all of `source`, inflated, to `sink` in pieces of at most 256 KiB. Its magic tells the
// format: gzip (RFC 1952, any number of members, zero padding after the last) or zstd (any number
// of frames). xz, bzip2 and lz4 are refused (InvalidArgument), and anything else passes as it is.
// DataLoss for a stream that is malformed, truncated or followed by garbage; ResourceExhausted
// beyond a limit. Uses a few hundred KiB, and the window of a zstd frame. Thread-safe.
absl::StatusOr<DecompressResult> Decompress(const ByteSource& source,
                                            const ByteSink& sink,
                                            const DecompressLimits& limits = {});

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_LAYER_DECOMPRESSOR_H_
