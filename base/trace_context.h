#ifndef CRISP_BASE_TRACE_CONTEXT_H_
#define CRISP_BASE_TRACE_CONTEXT_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace crisp {

// The trace that an operation belongs to, and the span of it that asked: what W3C's "Trace Context"
// sends as `traceparent`. A value.
struct TraceContext {
  std::array<uint8_t, 16> trace_id{};
  std::array<uint8_t, 8> span_id{};  // the caller's
  uint8_t flags = 0;

  // Nothing where the text is malformed: such a header is to be taken as absent.
  static std::optional<TraceContext> Parse(absl::string_view traceparent);
  // The header, in version 00.
  std::string ToString() const;
  // The trace's id as logs and trace viewers show it: 32 hexadecimal digits.
  std::string TraceId() const;
};

}  // namespace crisp

#endif  // CRISP_BASE_TRACE_CONTEXT_H_
