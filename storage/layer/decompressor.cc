#include "storage/layer/decompressor.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <cstring>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::storage {
namespace {

constexpr size_t kInputSize = 128 << 10;
constexpr size_t kOutputSize = 256 << 10;
constexpr int kZstdMinWindowLog = 10, kZstdMaxWindowLog = 31;
constexpr char kGzipMagic[] = {'\x1f', '\x8b'};
constexpr char kZstdMagic[] = {'\x28', '\xb5', '\x2f', '\xfd'};
constexpr size_t kMagicBytes = 10;  // of the longest

// The tool that made a stream of a format that no layer has; empty if it is not known. "BZh" alone
// may be the name with which a tar begins.
absl::string_view ForeignTool(absl::string_view head) {
  if (head.size() < kMagicBytes) return "";
  if (absl::StartsWith(head, absl::string_view("\xfd"
                                               "7zXZ\0",
                                               6)))
    return "xz";
  if (absl::StartsWith(head, "BZh") && absl::StartsWith(head.substr(4), "1AY&SY")) return "bzip2";
  if (absl::StartsWith(head, "\x04\x22\x4d\x18")) return "lz4";
  return "";
}

// Not cleared: a small layer touches only the beginning of its buffers.
using Buffer = std::unique_ptr<char[]>;

absl::Status Malformed(absl::string_view format, absl::string_view why) {
  return absl::DataLossError(absl::StrCat("decompress: ", format, ": ", why));
}

std::string InflateError(int code) {
  switch (code) {
    case ISAL_INCORRECT_CHECKSUM:
      return "the checksum is wrong";
    case ISAL_INVALID_WRAPPER:
    case ISAL_UNSUPPORTED_METHOD:
      return "no gzip header";
    case ISAL_INVALID_BLOCK:
    case ISAL_INVALID_SYMBOL:
    case ISAL_INVALID_LOOKBACK:
      return "damaged";
    default:
      return absl::StrCat("error ", code);
  }
}

absl::Status ZstdError(size_t code, uint64_t window) {
  if (ZSTD_getErrorCode(code) != ZSTD_error_frameParameter_windowTooLarge) {
    return Malformed("zstd", ZSTD_getErrorName(code));
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("decompress: zstd: needs a window of more than ", window >> 20,
                   " MiB, which is what one layer may have of this node's memory now (compress it "
                   "without --long)"));
}

class Stream {
 public:
  Stream(const ByteSource& source, const ByteSink& sink, const DecompressLimits& limits)
      : source_(source), sink_(sink), limits_(limits) {}

  absl::StatusOr<DecompressResult> Run() {
    CRISP_RETURN_IF_ERROR(Fill(kMagicBytes));
    if (const absl::string_view tool = ForeignTool(pending()); !tool.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("compressed by ", tool,
                                                     ", not by gzip or zstd: ", tool,
                                                     " -dc makes of it what can be read"));
    }
    absl::Status status;
    if (StartsWith(kGzipMagic, sizeof(kGzipMagic))) {
      status = Gzip();
    } else if (StartsWith(kZstdMagic, sizeof(kZstdMagic)) || IsSkippableFrame()) {
      status = Zstd();
    } else {
      status = Plain();
    }
    if (!status.ok()) return status;
    return result_;
  }

 private:
  absl::string_view pending() const { return {input_.get() + begin_, end_ - begin_}; }
  bool StartsWith(const char* magic, size_t size) const {
    return pending().size() >= size && memcmp(pending().data(), magic, size) == 0;
  }
  bool IsSkippableFrame() const {  // RFC 8878 §3.1.2: 0x184D2A50 to 0x184D2A5F, little endian
    return pending().size() >= 4 && (pending()[0] & 0xf0) == 0x50 &&
           memcmp(pending().data() + 1, "\x2a\x4d\x18", 3) == 0;
  }

  // Reads until `want` bytes are pending or the source ends.
  absl::Status Fill(size_t want) {
    if (begin_ == end_) begin_ = end_ = 0;
    while (!at_end_ && end_ - begin_ < want) {
      if (begin_ > 0) {
        memmove(input_.get(), input_.get() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
      }
      CRISP_ASSIGN_OR_RETURN(const size_t n, source_(input_.get() + end_, kInputSize - end_));
      if (n == 0) at_end_ = true;
      end_ += n;
      result_.input_bytes += n;
    }
    return absl::OkStatus();
  }

  absl::Status Emit(absl::string_view bytes) {
    if (bytes.empty()) return absl::OkStatus();
    result_.output_bytes += bytes.size();
    if (result_.output_bytes > limits_.max_output) {
      return absl::ResourceExhaustedError(
          absl::StrCat("decompress: more than ", limits_.max_output, " bytes come out"));
    }
    return sink_(bytes);
  }

  absl::Status Plain() {
    while (!pending().empty()) {
      CRISP_RETURN_IF_ERROR(Emit(pending()));
      begin_ = end_;
      CRISP_RETURN_IF_ERROR(Fill(1));
    }
    return absl::OkStatus();
  }

  // Only zeros may follow the last member or frame.
  absl::Status Padding(absl::string_view format) {
    while (!pending().empty()) {
      for (const char c : pending()) {
        if (c != 0) return Malformed(format, "garbage after the end");
      }
      begin_ = end_;
      CRISP_RETURN_IF_ERROR(Fill(1));
    }
    return absl::OkStatus();
  }

  absl::Status Gzip() {
    const Buffer output = std::make_unique_for_overwrite<char[]>(kOutputSize);
    auto state = std::make_unique<inflate_state>();
    do {
      isal_inflate_init(state.get());
      state->crc_flag = ISAL_GZIP;
      CRISP_RETURN_IF_ERROR(GzipMember(*state, output.get()));
      CRISP_RETURN_IF_ERROR(Fill(sizeof(kGzipMagic)));
    } while (StartsWith(kGzipMagic, sizeof(kGzipMagic)));
    return Padding("gzip");
  }

  absl::Status GzipMember(inflate_state& state, char* output) {
    while (state.block_state != ISAL_BLOCK_FINISH) {
      CRISP_RETURN_IF_ERROR(Fill(1));
      state.next_in = reinterpret_cast<uint8_t*>(input_.get() + begin_);
      state.avail_in = static_cast<uint32_t>(end_ - begin_);
      state.next_out = reinterpret_cast<uint8_t*>(output);
      state.avail_out = static_cast<uint32_t>(kOutputSize);
      const uint32_t offered = state.avail_in;
      const int code = isal_inflate(&state);
      if (code != ISAL_DECOMP_OK && code != ISAL_END_INPUT) {
        return Malformed("gzip", InflateError(code));
      }
      begin_ += offered - state.avail_in;
      const size_t produced = kOutputSize - state.avail_out;
      if (offered == 0 && produced == 0 && state.block_state != ISAL_BLOCK_FINISH) {
        return Malformed("gzip", "truncated");
      }
      CRISP_RETURN_IF_ERROR(Emit({output, produced}));
    }
    return absl::OkStatus();
  }

  absl::Status Zstd() {
    const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                     ZSTD_freeDCtx);
    if (context == nullptr) return absl::ResourceExhaustedError("decompress: no memory");
    int window_log = kZstdMinWindowLog;
    while (window_log < kZstdMaxWindowLog && (uint64_t{2} << window_log) <= limits_.max_window)
      ++window_log;
    (void)ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, window_log);
    const Buffer output = std::make_unique_for_overwrite<char[]>(kOutputSize);
    size_t hint = 1;  // 0: a frame is complete and flushed
    while (true) {
      CRISP_RETURN_IF_ERROR(Fill(1));
      if (pending().empty() && hint == 0) return absl::OkStatus();
      if (hint == 0 && pending().front() == 0) return Padding("zstd");
      ZSTD_inBuffer in{pending().data(), pending().size(), 0};
      ZSTD_outBuffer out{output.get(), kOutputSize, 0};
      hint = ZSTD_decompressStream(context.get(), &out, &in);
      if (ZSTD_isError(hint)) return ZstdError(hint, uint64_t{1} << window_log);
      if (in.size == 0 && out.pos == 0) return Malformed("zstd", "truncated");
      begin_ += in.pos;
      CRISP_RETURN_IF_ERROR(Emit({output.get(), out.pos}));
    }
  }

  const ByteSource& source_;
  const ByteSink& sink_;
  const DecompressLimits& limits_;
  const Buffer input_ = std::make_unique_for_overwrite<char[]>(kInputSize);
  size_t begin_ = 0;
  size_t end_ = 0;
  bool at_end_ = false;
  DecompressResult result_;
};

}  // namespace

absl::StatusOr<DecompressResult> Decompress(const ByteSource& source,
                                            const ByteSink& sink,
                                            const DecompressLimits& limits) {
  return Stream(source, sink, limits).Run();
}

}  // namespace crisp::storage
