#ifndef CRISP_BASE_LOG_H_
#define CRISP_BASE_LOG_H_

#include <initializer_list>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace crisp {

// Writes one line per event on stderr: `<time> <level> <event> key=value …`, or a JSON object with
// the members time, level, event and the keys. If stderr is the journal, the journal's priority
// stands in front, and the first form has no time. Values with spaces or quotes are quoted.
// Thread-safe. Never log credentials or whole requests.
enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Parses "debug", "info", "warn" or "error".
absl::Status SetLogLevel(absl::string_view name);
bool LogEnabled(LogLevel level);
// "logfmt" (the default) or "json". Before other threads log.
absl::Status SetLogFormat(absl::string_view name);

using LogField = std::pair<absl::string_view, absl::AlphaNum>;

void Log(LogLevel level, absl::string_view event, std::initializer_list<LogField> fields = {});
// The same, with fields in front that say of what the event is.
void Log(LogLevel level,
         absl::string_view event,
         std::initializer_list<LogField> subject,
         std::initializer_list<LogField> fields);

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
