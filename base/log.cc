#include "base/log.h"

#include <unistd.h>

#include <memory>
#include <mutex>
#include <string>

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include "absl/strings/escaping.h"
#include "base/log_queue.h"
#include "base/log_writer.h"

namespace crisp {
namespace {

// Never destroyed: threads log until the very end.
LogQueue& Queue() {
  static LogQueue& queue = *new LogQueue(STDERR_FILENO);
  return queue;
}

class QueueSink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    Queue().Add(absl::string_view(line.data(), line.size()));
  }
  void flush_() override {}
};

spdlog::logger& Logger() {
  static spdlog::logger& logger = *[] {
    auto sink = std::make_shared<QueueSink>();
    auto* made = new spdlog::logger("crisp", std::move(sink));
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%fZ %l %v", spdlog::pattern_time_type::utc);
    made->set_level(spdlog::level::info);
    return made;
  }();
  return logger;
}

constexpr size_t kMaxValue = 2048;

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

bool NeedsQuotes(absl::string_view value) {
  if (value.empty()) return true;
  for (const unsigned char c : value) {
    if (c <= ' ' || c == '"' || c == '=' || c >= 0x7f) return true;
  }
  return false;
}

}  // namespace

absl::Status SetLogLevel(absl::string_view name) {
  if (name == "debug") {
    Logger().set_level(spdlog::level::debug);
  } else if (name == "info") {
    Logger().set_level(spdlog::level::info);
  } else if (name == "warn" || name == "warning") {
    Logger().set_level(spdlog::level::warn);
  } else if (name == "error") {
    Logger().set_level(spdlog::level::err);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("log level '", name, "' is none of debug, info, warn, error"));
  }
  return absl::OkStatus();
}

absl::Status StartLogWriter() { return Queue().Start(); }
bool FlushLog(absl::Duration limit) { return Queue().Flush(limit); }
uint64_t DroppedLogLines() { return Queue().dropped(); }

bool LogEnabled(LogLevel level) { return Logger().should_log(SpdlogLevel(level)); }

void Log(LogLevel level, absl::string_view event, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  std::string line(event);
  for (const auto& [key, value] : fields) {
    absl::string_view text = value.Piece();
    // Clients choose some values; a name of a megabyte must not fill the disk.
    if (text.size() > kMaxValue) text = text.substr(0, kMaxValue);
    absl::StrAppend(&line, " ", key, "=");
    if (NeedsQuotes(text)) {
      absl::StrAppend(&line, "\"", absl::Utf8SafeCEscape(text), "\"");
    } else {
      absl::StrAppend(&line, text);
    }
  }
  Logger().log(SpdlogLevel(level), "{}", line);
}

}  // namespace crisp
