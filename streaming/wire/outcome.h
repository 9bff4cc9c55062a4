#ifndef CRISP_STREAMING_WIRE_OUTCOME_H_
#define CRISP_STREAMING_WIRE_OUTCOME_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace crisp::streaming {

// The end of an exec or attach: an error of the runtime's, or the process's exit code.
struct Outcome {
  absl::Status status;
  int exit_code = 0;
};

// The text for the error stream. With `json` (v4 of the sub-protocol and later) it is a
// metav1.Status whose details carry a non-zero exit code. Before v4 it is the text of the error, or
// nothing on success.
std::string OutcomeMessage(const Outcome& outcome, bool json);

struct TerminalSize {
  uint16_t columns = 0, rows = 0;
  bool operator==(const TerminalSize& other) const {
    return columns == other.columns && rows == other.rows;
  }
};

// Cuts the bytes of a resize stream, which are JSON objects {"Width":80,"Height":24} one after the
// other, into sizes. Anything else is passed over, and an object that does not end within a
// kilobyte is dropped.
class TerminalSizeReader {
 public:
  // The last size that `bytes` completes, if any: those before it are no longer wanted.
  std::optional<TerminalSize> Feed(absl::string_view bytes);

 private:
  std::string pending_;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_WIRE_OUTCOME_H_
