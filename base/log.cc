#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <string>

#include "absl/strings/escaping.h"
#include "base/log_queue.h"
#include "base/log_writer.h"

namespace crisp {
namespace {

// True if stderr is the journal, which has times of its own and takes a priority from "<N>" before
// a line.
bool ToJournal() {
  const char* stream = getenv("JOURNAL_STREAM");
  struct stat about;
  return stream != nullptr && fstat(STDERR_FILENO, &about) == 0 &&
         stream == absl::StrCat(about.st_dev, ":", about.st_ino);
}

class Priority final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message,
              const std::tm&,
              spdlog::memory_buf_t& out) override {
    out.push_back(message.level >= spdlog::level::err    ? '3'
                  : message.level == spdlog::level::warn ? '4'
                  : message.level == spdlog::level::info ? '6'
                                                         : '7');
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<Priority>();
  }
};

std::unique_ptr<spdlog::formatter> LineFormatter() {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<Priority>('*');
  formatter->set_pattern(ToJournal() ? "<%*>%l %v" : "%Y-%m-%dT%H:%M:%S.%fZ %l %v");
  return formatter;
}

std::string DroppedLine(uint64_t lines) {
  const std::string text =
      absl::StrCat("log.dropped lines=", lines, " reason=\"stderr is not read fast enough\"");
  spdlog::memory_buf_t line;
  LineFormatter()->format(spdlog::details::log_msg("crisp", spdlog::level::warn, text), line);
  return std::string(line.data(), line.size());
}

// Never destroyed: threads log until the very end.
LogQueue& Queue() {
  static LogQueue& queue = *new LogQueue(STDERR_FILENO, DroppedLine);
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
    made->set_formatter(LineFormatter());
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

absl::Status StartLogWriter() {
  Logger().set_formatter(LineFormatter());  // by what stderr is now
  return Queue().Start();
}
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
