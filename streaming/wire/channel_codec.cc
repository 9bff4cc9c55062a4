#include "streaming/wire/channel_codec.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace crisp::streaming {
namespace {

constexpr uint8_t kCloseMarker = 255;

}  // namespace

absl::StatusOr<ChannelMessage> ParseChannelMessage(absl::string_view message,
                                                   bool base64,
                                                   bool half_close) {
  if (message.empty()) {
    return absl::InvalidArgumentError("WebSocket client: a message without a channel");
  }
  ChannelMessage parsed{.channel = static_cast<uint8_t>(message[0])};
  absl::string_view rest = message.substr(1);
  if (half_close && parsed.channel == kCloseMarker) {
    if (rest.size() != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("WebSocket client: a close message of ", message.size(), " bytes"));
    }
    parsed.close = true;
    parsed.channel = static_cast<uint8_t>(rest[0]);
    return parsed;
  }
  if (!base64) {
    parsed.data.assign(rest.data(), rest.size());
    return parsed;
  }
  if (parsed.channel < '0') {
    return absl::InvalidArgumentError("WebSocket client: a channel that is not a digit");
  }
  parsed.channel = static_cast<uint8_t>(parsed.channel - '0');
  if (!absl::Base64Unescape(rest, &parsed.data)) {
    return absl::InvalidArgumentError("WebSocket client: a message that is not base64");
  }
  return parsed;
}

std::string FormatChannelMessage(uint8_t channel, absl::string_view data, bool base64) {
  if (!base64) {
    return absl::StrCat(absl::string_view(reinterpret_cast<const char*>(&channel), 1), data);
  }
  return absl::StrCat(std::string(1, static_cast<char>('0' + channel)), absl::Base64Escape(data));
}

}  // namespace crisp::streaming
