#include "cri/config/config_rule.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/host_port.h"
#include "base/safe_path.h"

namespace crisp::cri {
namespace {

using Kind = Rule::Kind;

std::string Quoted(absl::string_view value, absl::string_view rule) {
  return absl::StrCat("\"", value, "\" ", rule);
}

std::string BrokenPath(const std::string& path) {
  if (!absl::StartsWith(path, "/")) return Quoted(path, "must be an absolute path");
  if (CleanAbsolutePath(path) == "/") return Quoted(path, "must not be the root directory");
  return "";
}

std::string BrokenAddress(const std::string& address) {
  if (address.empty()) return "";
  const absl::Status form = HostPort::Parse(address).status();
  return form.ok() ? "" : std::string(form.message());
}

bool IsAmong(const Rule& rule, absl::string_view value) {
  for (const char* choice : rule.among) {
    if (choice != nullptr && value == choice) return true;
  }
  return false;
}

}  // namespace

std::string Choices(const Rule& rule) {
  std::string all;
  for (size_t i = 0; i < rule.among.size() && rule.among[i] != nullptr; ++i) {
    const bool last = i + 1 == rule.among.size() || rule.among[i + 1] == nullptr;
    absl::StrAppend(&all, i == 0 ? "" : last ? " or " : ", ", rule.among[i]);
  }
  return all;
}

std::string Broken(const Rule& rule, const std::string& value) {
  switch (rule.kind) {
    case Kind::kOneOf:
      return IsAmong(rule, value) ? "" : Quoted(value, absl::StrCat("must be ", Choices(rule)));
    case Kind::kPath:
      return BrokenPath(value);
    case Kind::kPathOrNone:
      return value.empty() ? "" : BrokenPath(value);
    case Kind::kAddress:
      return BrokenAddress(value);
    default:
      return "";
  }
}

std::string Broken(const Rule& rule, int64_t value) {
  if (value >= rule.least && value <= rule.most) return "";
  const std::string range = absl::StrCat("between ", rule.least, " and ", rule.most);
  if (rule.kind == Kind::kBetween)
    return Quoted(absl::StrCat(value), absl::StrCat("must be ", range));
  if (rule.kind != Kind::kZeroOrBetween || value == 0) return "";
  return Quoted(absl::StrCat(value), absl::StrCat("must be 0 or ", range));
}

std::string Broken(const Rule& rule, absl::Duration value) {
  const std::string given = absl::FormatDuration(value);
  if (rule.kind == Kind::kAtLeast && value < absl::Seconds(rule.least)) {
    return Quoted(
        given, absl::StrCat("must be at least ", absl::FormatDuration(absl::Seconds(rule.least))));
  }
  if (rule.kind == Kind::kPositive && value <= absl::ZeroDuration()) {
    return Quoted(given, "must be longer than 0");
  }
  return "";
}

std::string Broken(const Rule& rule, const std::vector<std::string>& value) {
  for (const std::string& item : value) {
    if (std::string broken = Broken(rule, item); !broken.empty()) return broken;
  }
  return "";
}

}  // namespace crisp::cri
