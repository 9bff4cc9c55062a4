#include "runtime/yaml_document.h"

#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::runtime {
namespace {

absl::Status At(const YAML::Mark& mark, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("line ", mark.line + 1, ": ", what));
}

class Converter {
 public:
  explicit Converter(const YamlLimits& limits) : limits_(limits) {}

  absl::StatusOr<Json> Convert(const YAML::Node& node, int depth) {
    if (depth > limits_.max_depth || ++nodes_ > limits_.max_nodes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("line ", node.Mark().line + 1, ": too deep or too large a document"));
    }
    switch (node.Type()) {
      case YAML::NodeType::Scalar: return Json(node.Scalar());
      case YAML::NodeType::Sequence: return List(node, depth);
      case YAML::NodeType::Map: return Map(node, depth);
      default: return Json();
    }
  }

 private:
  absl::StatusOr<Json> List(const YAML::Node& node, int depth) {
    Json list = Json::array();
    for (const YAML::Node& item : node) {
      CRISP_ASSIGN_OR_RETURN(Json value, Convert(item, depth + 1));
      list.push_back(std::move(value));
    }
    return list;
  }

  absl::StatusOr<Json> Map(const YAML::Node& node, int depth) {
    Json map = Json::object();
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) return At(entry.first.Mark(), "a key must be a plain word");
      CRISP_ASSIGN_OR_RETURN(Json value, Convert(entry.second, depth + 1));
      if (!map.emplace(entry.first.Scalar(), std::move(value)).second) {
        return At(entry.first.Mark(), absl::StrCat("key ", entry.first.Scalar(), " is given twice"));
      }
    }
    return map;
  }

  const YamlLimits limits_;
  size_t nodes_ = 0;
};

}  // namespace

absl::StatusOr<Json> ParseYaml(absl::string_view text, const YamlLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("more than ", limits.max_bytes, " bytes"));
  }
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
    if (documents.empty()) return Json();
    if (documents.size() > 1) return At(documents[1].Mark(), "only one document may be given");
    return Converter(limits).Convert(documents[0], 0);
  } catch (const YAML::Exception& error) {
    return At(error.mark, error.msg);
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

absl::StatusOr<int64_t> YamlInt(const Json& value, absl::string_view what, int64_t min, int64_t max) {
  const auto bad = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": must be an integer from ", min, " to ", max));
  };
  if (!value.is_string()) return bad();
  std::string text = value.get<std::string>();
  if (text.empty() || !(absl::ascii_isdigit(text[0]) || text[0] == '-')) return bad();
  if (text.size() > 2 && text[0] == '0' && text[1] == 'o') text.erase(1, 1);
  char* end = nullptr;
  errno = 0;
  const int64_t number = std::strtoll(text.c_str(), &end, 0);
  if (errno != 0 || end != text.c_str() + text.size() || number < min || number > max) return bad();
  return number;
}

absl::StatusOr<std::string> YamlString(const Json& value, absl::string_view what) {
  if (!value.is_string()) return absl::InvalidArgumentError(absl::StrCat(what, ": must be a string"));
  std::string text = value.get<std::string>();
  if (text.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": holds a NUL byte"));
  }
  return text;
}

absl::StatusOr<std::vector<std::string>> YamlStrings(const Json& value, absl::string_view what) {
  std::vector<std::string> strings;
  if (value.is_null()) return strings;
  if (!value.is_array()) return absl::InvalidArgumentError(absl::StrCat(what, ": must be a list"));
  for (const Json& item : value) {
    CRISP_ASSIGN_OR_RETURN(std::string text, YamlString(item, what));
    strings.push_back(std::move(text));
  }
  return strings;
}

}  // namespace crisp::runtime
