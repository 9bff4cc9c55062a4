#ifndef CRISP_STREAMING_WIRE_CHANNEL_CODEC_H_
#define CRISP_STREAMING_WIRE_CHANNEL_CODEC_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::streaming {

// The messages of the channel.k8s.io WebSocket protocols. Pure functions.

struct ChannelMessage {
  uint8_t channel = 0;
  bool close = false;  // v5: the sender closes `channel`
  std::string data;
};

// Takes a message apart: the channel's number in one byte, then the bytes. In the base64 protocols
// the number is a digit ('0' + channel) and the bytes are base64. With `half_close`, [255, n]
// closes channel n. InvalidArgument for an empty message, for bytes that are not base64, and for a
// close message of another size than two.
absl::StatusOr<ChannelMessage> ParseChannelMessage(absl::string_view message,
                                                   bool base64,
                                                   bool half_close);

// Puts a message together. With base64, `channel` must be below 200.
std::string FormatChannelMessage(uint8_t channel, absl::string_view data, bool base64);

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_WIRE_CHANNEL_CODEC_H_
