#ifndef CRISP_BASE_LOG_H_
#define CRISP_BASE_LOG_H_

#include <initializer_list>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace crisp {

// Writes one line per event on stderr: `<time> <level> <event> key=value …`. If stderr is the
// journal, the journal's priority stands in front instead of the time. Values with spaces or quotes
// are quoted. Thread-safe. Never log credentials or whole requests.
enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Parses "debug", "info", "warn" or "error".
absl::Status SetLogLevel(absl::string_view name);
bool LogEnabled(LogLevel level);

using LogField = std::pair<absl::string_view, absl::AlphaNum>;

void Log(LogLevel level, absl::string_view event, std::initializer_list<LogField> fields = {});

inline void LogDebug(absl::string_view event, std::initializer_list<LogField> fields = {}) {
  if (LogEnabled(LogLevel::kDebug)) Log(LogLevel::kDebug, event, fields);
}
inline void LogInfo(absl::string_view event, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kInfo, event, fields);
}
inline void LogWarning(absl::string_view event, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kWarning, event, fields);
}
inline void LogError(absl::string_view event, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kError, event, fields);
}

}  // namespace crisp

#endif  // CRISP_BASE_LOG_H_
