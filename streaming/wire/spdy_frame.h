#ifndef CRISP_STREAMING_WIRE_SPDY_FRAME_H_
#define CRISP_STREAMING_WIRE_SPDY_FRAME_H_

#include <zlib.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "streaming/wire/headers.h"

namespace crisp::streaming {

// SPDY/3.1 on the wire, as in the SPDY Protocol - Draft 3.1: big-endian frames with an 8-byte
// header, and header blocks in one zlib stream per direction, primed with a fixed dictionary.

enum class SpdyType : uint16_t {
  kData = 0,  // ours: data frames have no type
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kHeaders = 8,
  kWindowUpdate = 9,
};

// Status codes of RST_STREAM.
enum class SpdyReset : uint32_t {
  kProtocolError = 1,
  kInvalidStream = 2,
  kRefusedStream = 3,
  kCancel = 5,
  kFlowControlError = 7,
};

inline constexpr uint32_t kSpdyInitialWindow = 64 << 10;

struct SpdyFrame {
  SpdyType type = SpdyType::kData;
  uint32_t stream_id = 0;  // of kGoAway: the last one accepted
  bool fin = false;
  bool unidirectional = false;             // kSynStream: the receiver sends nothing
  uint32_t value = 0;                      // status, ping id or window delta
  std::optional<uint32_t> initial_window;  // kSettings
  Headers headers;
  absl::string_view data;  // kData: valid until the decoder is called again
};

// The 1,423 bytes that both ends prime their compressors with.
absl::string_view SpdyDictionary();

// Takes bytes as they come and gives frames. A data frame is given in pieces, `fin` with the last
// one, so that its declared length costs no memory. Not thread-safe.
class SpdyDecoder {
 public:
  // The greatest length of a control frame, and of its headers when unpacked.
  static constexpr size_t kMaxControl = 16 << 10;
  static constexpr size_t kMaxHeaders = 64;

  SpdyDecoder();
  ~SpdyDecoder();
  SpdyDecoder(const SpdyDecoder&) = delete;
  SpdyDecoder& operator=(const SpdyDecoder&) = delete;

  void Feed(absl::string_view bytes);
  // True if `frame` was set, false if more bytes are needed. InvalidArgument for a breach of the
  // protocol. The connection cannot go on then, because the compressor's state is lost. Frames of
  // unknown type are skipped, as the protocol asks.
  absl::StatusOr<bool> Next(SpdyFrame& frame);

 private:
  absl::StatusOr<bool> NextData(SpdyFrame& frame);
  absl::Status ParseControl(uint16_t type,
                            uint8_t flags,
                            absl::string_view payload,
                            SpdyFrame& frame);
  absl::StatusOr<Headers> Unpack(absl::string_view block);
  absl::string_view rest() const { return absl::string_view(buffer_).substr(position_); }

  std::string buffer_;
  size_t position_ = 0;  // everything before it was given out
  // The data frame that is being given out.
  uint32_t data_stream_ = 0;
  size_t data_left_ = 0;
  bool data_fin_ = false;
  bool in_data_ = false;
  z_stream inflate_{};
};

// Appends frames to a buffer. Not thread-safe: header blocks depend on those before.
class SpdyEncoder {
 public:
  static constexpr size_t kMaxData = (1 << 24) - 1;

  SpdyEncoder();
  ~SpdyEncoder();
  SpdyEncoder(const SpdyEncoder&) = delete;
  SpdyEncoder& operator=(const SpdyEncoder&) = delete;

  // Appends a frame of type kSynStream, kSynReply or kHeaders.
  void AppendHeaders(
      SpdyType type, uint32_t stream_id, bool fin, const Headers& headers, std::string& out);
  static void AppendData(uint32_t stream_id, bool fin, absl::string_view data, std::string& out);
  static void AppendReset(uint32_t stream_id, SpdyReset status, std::string& out);
  static void AppendPing(uint32_t id, std::string& out);
  static void AppendGoAway(uint32_t last_stream_id, std::string& out);
  static void AppendWindowUpdate(uint32_t stream_id, uint32_t delta, std::string& out);
  static void AppendInitialWindow(uint32_t window, std::string& out);

 private:
  z_stream deflate_{};
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_WIRE_SPDY_FRAME_H_
