#include <algorithm>
#include <new>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "streaming/wire/spdy_frame.h"

namespace crisp::streaming {
namespace {

constexpr size_t kHeaderSize = 8;
constexpr uint32_t kIdMask = 0x7fffffff;
constexpr uint32_t kSettingInitialWindow = 7;
constexpr uint8_t kFlagFin = 1;
constexpr uint8_t kFlagUnidirectional = 2;

uint32_t Get32(absl::string_view bytes, size_t at) {
  auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + i])); };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

absl::Status Broken(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("SPDY client: ", what));
}

// Cuts a length-prefixed string off the front of `block`.
absl::StatusOr<absl::string_view> TakeString(absl::string_view& block) {
  if (block.size() < 4) return Broken("a header block that is cut off");
  size_t size = Get32(block, 0);
  if (size > block.size() - 4) return Broken("a header string longer than its block");
  absl::string_view taken = block.substr(4, size);
  block.remove_prefix(4 + size);
  return taken;
}

absl::StatusOr<Headers> ParseHeaders(absl::string_view block) {
  if (block.size() < 4) return Broken("a header block without a count");
  size_t count = Get32(block, 0);
  block.remove_prefix(4);
  if (count > SpdyDecoder::kMaxHeaders) return Broken(absl::StrCat(count, " headers"));
  Headers headers;
  for (size_t i = 0; i < count; ++i) {
    CRISP_ASSIGN_OR_RETURN(absl::string_view name, TakeString(block));
    CRISP_ASSIGN_OR_RETURN(absl::string_view value, TakeString(block));
    if (name.empty()) return Broken("a header without a name");
    absl::string_view first = value.substr(0, value.find('\0'));  // several are separated by NUL
    if (!headers.emplace(absl::AsciiStrToLower(name), std::string(first)).second) {
      return Broken("the same header twice");
    }
  }
  if (!block.empty()) return Broken("bytes after the last header");
  return headers;
}

absl::Status ParseSettings(absl::string_view payload, SpdyFrame& frame) {
  if (payload.size() < 4 || payload.size() != 4 + uint64_t{8} * Get32(payload, 0)) {
    return Broken("a SETTINGS frame of the wrong size");
  }
  for (size_t at = 4; at < payload.size(); at += 8) {
    if ((Get32(payload, at) & 0xffffff) != kSettingInitialWindow) continue;
    uint32_t window = Get32(payload, at + 4);
    if (window > kIdMask) return Broken("an initial window of more than 2 GiB");
    frame.initial_window = window;
  }
  return absl::OkStatus();
}

// How much of a control frame comes before its header block, and the exact size of those without.
struct Layout {
  size_t fixed;
  bool has_headers;
};

Layout LayoutOf(SpdyType type) {
  switch (type) {
    case SpdyType::kSynStream:
      return {10, true};
    case SpdyType::kSynReply:
    case SpdyType::kHeaders:
      return {4, true};
    case SpdyType::kPing:
      return {4, false};
    default:
      return {8, false};
  }
}

}  // namespace

SpdyDecoder::SpdyDecoder() {
  if (inflateInit(&inflate_) != Z_OK) throw std::bad_alloc();
}

SpdyDecoder::~SpdyDecoder() { inflateEnd(&inflate_); }

void SpdyDecoder::Feed(absl::string_view bytes) {
  buffer_.erase(0, position_);
  position_ = 0;
  buffer_.append(bytes.data(), bytes.size());
}

absl::StatusOr<bool> SpdyDecoder::Next(SpdyFrame& frame) {
  while (true) {
    frame = SpdyFrame{};
    if (in_data_) return NextData(frame);
    if (rest().size() < kHeaderSize) return false;
    uint32_t first = Get32(rest(), 0);
    uint32_t second = Get32(rest(), 4);
    uint8_t flags = static_cast<uint8_t>(second >> 24);
    size_t length = second & 0xffffff;
    if ((first & ~kIdMask) == 0) {
      if (first == 0) return Broken("data for stream 0");
      position_ += kHeaderSize;
      in_data_ = true;
      data_stream_ = first;
      data_left_ = length;
      data_fin_ = (flags & kFlagFin) != 0;
      continue;
    }
    if ((first >> 16 & 0x7fff) != 3) return Broken("a control frame of another version than 3");
    if (length > kMaxControl) return Broken(absl::StrCat("a control frame of ", length, " bytes"));
    if (rest().size() < kHeaderSize + length) return false;
    absl::string_view payload = rest().substr(kHeaderSize, length);
    position_ += kHeaderSize + length;
    uint16_t type = static_cast<uint16_t>(first & 0xffff);
    if (type < 1 || type > 9 || type == 5) continue;
    CRISP_RETURN_IF_ERROR(ParseControl(type, flags, payload, frame));
    return true;
  }
}

absl::StatusOr<bool> SpdyDecoder::NextData(SpdyFrame& frame) {
  size_t size = std::min(data_left_, rest().size());
  if (size == 0 && data_left_ > 0) return false;
  frame.type = SpdyType::kData;
  frame.stream_id = data_stream_;
  frame.data = rest().substr(0, size);
  position_ += size;
  data_left_ -= size;
  in_data_ = data_left_ > 0;
  frame.fin = !in_data_ && data_fin_;
  return true;
}

absl::Status SpdyDecoder::ParseControl(uint16_t type,
                                       uint8_t flags,
                                       absl::string_view payload,
                                       SpdyFrame& frame) {
  frame.type = static_cast<SpdyType>(type);
  if (frame.type == SpdyType::kSettings) return ParseSettings(payload, frame);
  Layout layout = LayoutOf(frame.type);
  if (payload.size() < layout.fixed || (!layout.has_headers && payload.size() != layout.fixed)) {
    return Broken(absl::StrCat("a control frame of type ", type, " of the wrong size"));
  }
  frame.stream_id = Get32(payload, 0) & kIdMask;
  switch (frame.type) {
    case SpdyType::kPing:
      frame.value = Get32(payload, 0);
      frame.stream_id = 0;
      return absl::OkStatus();
    case SpdyType::kRstStream:
    case SpdyType::kGoAway:
    case SpdyType::kWindowUpdate:
      frame.value = Get32(payload, 4);
      if (frame.type == SpdyType::kWindowUpdate) frame.value &= kIdMask;
      return absl::OkStatus();
    default:
      break;
  }
  if (frame.stream_id == 0) return Broken("headers for stream 0");
  frame.fin = (flags & kFlagFin) != 0;
  frame.unidirectional = frame.type == SpdyType::kSynStream && (flags & kFlagUnidirectional) != 0;
  CRISP_ASSIGN_OR_RETURN(frame.headers, Unpack(payload.substr(layout.fixed)));
  return absl::OkStatus();
}

absl::StatusOr<Headers> SpdyDecoder::Unpack(absl::string_view block) {
  std::string out(kMaxControl, '\0');
  inflate_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(block.data()));
  inflate_.avail_in = static_cast<uInt>(block.size());
  inflate_.next_out = reinterpret_cast<Bytef*>(out.data());
  inflate_.avail_out = static_cast<uInt>(out.size());
  int result = inflate(&inflate_, Z_SYNC_FLUSH);
  if (result == Z_NEED_DICT) {
    absl::string_view dictionary = SpdyDictionary();
    result = inflateSetDictionary(&inflate_, reinterpret_cast<const Bytef*>(dictionary.data()),
                                  static_cast<uInt>(dictionary.size()));
    if (result == Z_OK) result = inflate(&inflate_, Z_SYNC_FLUSH);
  }
  if (inflate_.avail_out == 0) return Broken("headers that unpack to more than 16 KiB");
  // Z_BUF_ERROR: nothing was left to do. Z_STREAM_END would leave later blocks unreadable.
  if ((result != Z_OK && result != Z_BUF_ERROR) || inflate_.avail_in != 0) {
    return Broken("a header block that is not zlib data with SPDY's dictionary");
  }
  out.resize(out.size() - inflate_.avail_out);
  return ParseHeaders(out);
}

}  // namespace crisp::streaming
