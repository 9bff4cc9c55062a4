#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "absl/strings/escaping.h"
#include "base/json.h"
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

std::atomic<bool> g_json = false;

// What comes before a message. A message in JSON is the object's text behind its first two members.
std::unique_ptr<spdlog::formatter> LineFormatter() {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<Priority>('*');
  constexpr char kJson[] = R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l",%v)";
  const bool journal = ToJournal();
  if (g_json) {
    formatter->set_pattern(absl::StrCat(journal ? "<%*>" : "", kJson));
  } else {
    formatter->set_pattern(journal ? "<%*>%l %v" : "%Y-%m-%dT%H:%M:%S.%fZ %l %v");
  }
  return formatter;
}

constexpr size_t kMaxValue = 2048;

// Clients choose some values; a name of a megabyte must not fill the disk.
absl::string_view Bounded(const absl::AlphaNum& value) {
  return value.Piece().substr(0, kMaxValue);
}

bool NeedsQuotes(absl::string_view value) {
  if (value.empty()) return true;
  for (const unsigned char c : value) {
    if (c <= ' ' || c == '"' || c == '=' || c >= 0x7f) return true;
  }
  return false;
}

void AddField(const LogField& field, bool json, std::string* line) {
  const absl::string_view text = Bounded(field.second);
  if (json) {
    absl::StrAppend(line, ",\"", field.first, "\":", DumpJson(Json(std::string(text))));
  } else if (NeedsQuotes(text)) {
    absl::StrAppend(line, " ", field.first, "=\"", absl::Utf8SafeCEscape(text), "\"");
  } else {
    absl::StrAppend(line, " ", field.first, "=", text);
  }
}

std::string Message(absl::string_view event,
                    std::initializer_list<LogField> subject,
                    std::initializer_list<LogField> fields) {
  const bool json = g_json;
  std::string line =
      json ? absl::StrCat("\"event\":", DumpJson(Json(std::string(event)))) : std::string(event);
  for (const LogField& field : subject) AddField(field, json, &line);
  for (const LogField& field : fields) AddField(field, json, &line);
  if (json) line += '}';
  return line;
}

std::string DroppedLine(uint64_t lines) {
  const std::string text =
      Message("log.dropped", {{"lines", lines}}, {{"reason", "stderr is not read fast enough"}});
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

absl::Status SetLogFormat(absl::string_view name) {
  if (name != "logfmt" && name != "json") {
    return absl::InvalidArgumentError(
        absl::StrCat("log format '", name, "' is neither logfmt nor json"));
  }
  g_json = name == "json";
  Logger().set_formatter(LineFormatter());
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
  Log(level, event, {}, fields);
}

void Log(LogLevel level,
         absl::string_view event,
         std::initializer_list<LogField> subject,
         std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  Logger().log(SpdlogLevel(level), "{}", Message(event, subject, fields));
}

}  // namespace crisp
