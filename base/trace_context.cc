#include "base/trace_context.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace crisp {
namespace {

// version "-" trace-id "-" parent-id "-" flags, of two, 32, 16 and two digits.
constexpr size_t kTraceId = 3, kSpanId = 36, kFlags = 53, kLength = 55;

// The headers have small letters only.
int Digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

template <size_t kBytes>
bool Read(absl::string_view text, std::array<uint8_t, kBytes>& out) {
  for (size_t i = 0; i < kBytes; ++i) {
    const int high = Digit(text[2 * i]), low = Digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

template <size_t kBytes>
std::string Hex(const std::array<uint8_t, kBytes>& bytes) {
  std::string text;
  for (const uint8_t byte : bytes) absl::StrAppend(&text, absl::Hex(byte, absl::kZeroPad2));
  return text;
}

template <size_t kBytes>
bool AllZero(const std::array<uint8_t, kBytes>& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

}  // namespace

std::optional<TraceContext> TraceContext::Parse(absl::string_view traceparent) {
  if (traceparent.size() < kLength || traceparent[kTraceId - 1] != '-' ||
      traceparent[kSpanId - 1] != '-' || traceparent[kFlags - 1] != '-') {
    return std::nullopt;
  }
  std::array<uint8_t, 1> version{}, flags{};
  TraceContext trace;
  if (!Read(traceparent, version) || !Read(traceparent.substr(kTraceId), trace.trace_id) ||
      !Read(traceparent.substr(kSpanId), trace.span_id) ||
      !Read(traceparent.substr(kFlags), flags)) {
    return std::nullopt;
  }
  // A later version may have more behind another dash. 255 is none.
  const bool longer = traceparent.size() > kLength;
  if (version[0] == 0xff || (longer && (version[0] == 0 || traceparent[kLength] != '-'))) {
    return std::nullopt;
  }
  if (AllZero(trace.trace_id) || AllZero(trace.span_id)) return std::nullopt;
  trace.flags = flags[0];
  return trace;
}

std::string TraceContext::ToString() const {
  return absl::StrCat("00-", TraceId(), "-", Hex(span_id), "-", absl::Hex(flags, absl::kZeroPad2));
}

std::string TraceContext::TraceId() const { return Hex(trace_id); }

}  // namespace crisp
