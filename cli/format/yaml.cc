#include "cli/format/yaml.h"

#include <yaml-cpp/yaml.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace crisp::cli {
namespace {

// True if no reader of YAML 1.1 or 1.2 takes the string for anything else. yaml-cpp adds the quotes
// that the syntax needs, and none for the meaning.
bool IsPlainly(const std::string& text) {
  if (text.empty()) return false;
  const unsigned char first = static_cast<unsigned char>(text[0]);
  if (!absl::ascii_isalpha(first) && first != '/') return false;
  for (const char* word : {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}) {
    if (absl::EqualsIgnoreCase(text, word)) return false;
  }
  return true;
}

void Emit(const Json& json, YAML::Emitter& out) {
  if (json.is_object()) {
    out << (json.empty() ? YAML::Flow : YAML::Block) << YAML::BeginMap;
    for (const auto& [key, value] : json.items()) {
      if (!IsPlainly(key)) out << YAML::DoubleQuoted;
      out << YAML::Key << key << YAML::Value;
      Emit(value, out);
    }
    out << YAML::EndMap;
  } else if (json.is_array()) {
    out << (json.empty() ? YAML::Flow : YAML::Block) << YAML::BeginSeq;
    for (const Json& item : json) Emit(item, out);
    out << YAML::EndSeq;
  } else if (json.is_string()) {
    const std::string& text = json.get_ref<const std::string&>();
    if (!IsPlainly(text)) out << YAML::DoubleQuoted;
    out << text;
  } else if (json.is_null()) {
    out << YAML::Null;
  } else {
    out << DumpJson(json);  // booleans and numbers are written alike
  }
}

}  // namespace

std::string DumpYaml(const Json& json) {
  YAML::Emitter out;
  out.SetNullFormat(YAML::LowerNull);
  // Bytes that are not UTF-8 go the way of DumpJson().
  const absl::StatusOr<Json> clean = ParseJson(DumpJson(json), {.max_bytes = size_t{1} << 30});
  Emit(clean.ok() ? *clean : json, out);
  return std::string(out.c_str()) + "\n";
}

}  // namespace crisp::cli
