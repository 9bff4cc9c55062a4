#include <new>

#include "absl/strings/string_view.h"
#include "streaming/wire/spdy_frame.h"

namespace crisp::streaming {
namespace {

void Put32(uint32_t value, std::string& out) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

void PutControl(SpdyType type, bool fin, size_t length, std::string& out) {
  Put32(0x80030000u | static_cast<uint32_t>(type), out);
  Put32((fin ? 1u << 24 : 0) | static_cast<uint32_t>(length), out);
}

void PutString(absl::string_view text, std::string& out) {
  Put32(static_cast<uint32_t>(text.size()), out);
  out.append(text.data(), text.size());
}

// A small window holds the dictionary, and keeps an idle connection's memory low.
constexpr int kWindowBits = 11;
constexpr int kMemoryLevel = 1;

}  // namespace

SpdyEncoder::SpdyEncoder() {
  absl::string_view dictionary = SpdyDictionary();
  if (deflateInit2(&deflate_, Z_BEST_SPEED, Z_DEFLATED, kWindowBits, kMemoryLevel,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();
  }
  (void)deflateSetDictionary(&deflate_, reinterpret_cast<const Bytef*>(dictionary.data()),
                             static_cast<uInt>(dictionary.size()));
}

SpdyEncoder::~SpdyEncoder() { deflateEnd(&deflate_); }

void SpdyEncoder::AppendHeaders(
    SpdyType type, uint32_t stream_id, bool fin, const Headers& headers, std::string& out) {
  std::string block;
  Put32(static_cast<uint32_t>(headers.size()), block);
  for (const auto& [name, value] : headers) {
    PutString(name, block);
    PutString(value, block);
  }
  std::string packed(deflateBound(&deflate_, block.size()) + 64, '\0');
  deflate_.next_in = reinterpret_cast<Bytef*>(block.data());
  deflate_.avail_in = static_cast<uInt>(block.size());
  deflate_.next_out = reinterpret_cast<Bytef*>(packed.data());
  deflate_.avail_out = static_cast<uInt>(packed.size());
  (void)deflate(&deflate_, Z_SYNC_FLUSH);  // cannot fail: the output has room for all of it
  packed.resize(packed.size() - deflate_.avail_out);

  bool open = type == SpdyType::kSynStream;  // has an associated stream, a priority and a slot
  PutControl(type, fin, 4 + (open ? 6 : 0) + packed.size(), out);
  Put32(stream_id, out);
  if (open) out.append(6, '\0');
  out += packed;
}

void SpdyEncoder::AppendData(uint32_t stream_id,
                             bool fin,
                             absl::string_view data,
                             std::string& out) {
  Put32(stream_id, out);
  Put32((fin ? 1u << 24 : 0) | static_cast<uint32_t>(data.size()), out);
  out.append(data.data(), data.size());
}

void SpdyEncoder::AppendReset(uint32_t stream_id, SpdyReset status, std::string& out) {
  PutControl(SpdyType::kRstStream, false, 8, out);
  Put32(stream_id, out);
  Put32(static_cast<uint32_t>(status), out);
}

void SpdyEncoder::AppendPing(uint32_t id, std::string& out) {
  PutControl(SpdyType::kPing, false, 4, out);
  Put32(id, out);
}

void SpdyEncoder::AppendGoAway(uint32_t last_stream_id, std::string& out) {
  PutControl(SpdyType::kGoAway, false, 8, out);
  Put32(last_stream_id, out);
  Put32(0, out);
}

void SpdyEncoder::AppendWindowUpdate(uint32_t stream_id, uint32_t delta, std::string& out) {
  PutControl(SpdyType::kWindowUpdate, false, 8, out);
  Put32(stream_id, out);
  Put32(delta, out);
}

void SpdyEncoder::AppendInitialWindow(uint32_t window, std::string& out) {
  PutControl(SpdyType::kSettings, false, 12, out);
  Put32(1, out);
  Put32(7, out);
  Put32(window, out);
}

}  // namespace crisp::streaming
