#include "base/json.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp {
namespace {

// Rejects deep nesting before nlohmann's recursion (its destructor, dump and copies) meets it.
class BoundedBuilder : public nlohmann::detail::json_sax_dom_parser<Json> {
 public:
  BoundedBuilder(Json& document, int max_depth)
      : json_sax_dom_parser(document, /*allow_exceptions=*/false), max_depth_(max_depth) {}

  bool start_object(std::size_t elements) {
    return Enter() && json_sax_dom_parser::start_object(elements);
  }
  bool start_array(std::size_t elements) {
    return Enter() && json_sax_dom_parser::start_array(elements);
  }
  bool end_object() {
    --depth_;
    return json_sax_dom_parser::end_object();
  }
  bool end_array() {
    --depth_;
    return json_sax_dom_parser::end_array();
  }
  template <class Exception>
  bool parse_error(std::size_t position, const std::string& token, const Exception& error) {
    position_ = position;
    return json_sax_dom_parser::parse_error(position, token, error);
  }

  bool too_deep() const { return too_deep_; }
  std::size_t position() const { return position_; }

 private:
  bool Enter() {
    too_deep_ = ++depth_ > max_depth_;
    return !too_deep_;
  }

  int max_depth_;
  int depth_ = 0;
  bool too_deep_ = false;
  std::size_t position_ = 0;
};

// The member or null; InvalidArgument when `object` is no object.
absl::StatusOr<const Json*> Member(const Json& object, const char* key) {
  if (!object.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", key, "' looked up in something that is not a JSON object"));
  }
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

absl::Status WrongType(const char* key, const char* wanted, const Json& value) {
  return absl::InvalidArgumentError(
      absl::StrCat("'", key, "' is ", value.type_name(), ", not ", wanted));
}

}  // namespace

absl::StatusOr<Json> ParseJson(absl::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("JSON document of ", text.size(), " bytes, the limit is ", limits.max_bytes));
  }
  Json root;
  BoundedBuilder builder(root, limits.max_depth);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) {
    if (builder.too_deep()) {
      return absl::InvalidArgumentError(
          absl::StrCat("JSON nested deeper than ", limits.max_depth, " levels"));
    }
    return absl::InvalidArgumentError(absl::StrCat("malformed JSON at byte ", builder.position()));
  }
  return root;
}

std::string DumpJson(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<std::string> JsonString(const Json& object, const char* key, std::string fallback) {
  CRISP_ASSIGN_OR_RETURN(const Json* value, Member(object, key));
  if (value == nullptr) return fallback;
  if (!value->is_string()) return WrongType(key, "a string", *value);
  return value->get_ref<const std::string&>();
}

absl::StatusOr<int64_t> JsonInt(const Json& object, const char* key, int64_t fallback) {
  CRISP_ASSIGN_OR_RETURN(const Json* value, Member(object, key));
  if (value == nullptr) return fallback;
  if (!value->is_number_integer()) return WrongType(key, "an integer", *value);
  if (value->is_number_unsigned() &&
      value->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return absl::InvalidArgumentError(absl::StrCat("'", key, "' is out of range"));
  }
  return value->get<int64_t>();
}

absl::StatusOr<bool> JsonBool(const Json& object, const char* key, bool fallback) {
  CRISP_ASSIGN_OR_RETURN(const Json* value, Member(object, key));
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) return WrongType(key, "a boolean", *value);
  return value->get<bool>();
}

absl::StatusOr<const Json*> JsonObject(const Json& object, const char* key) {
  static const Json& empty = *new Json(Json::object());
  CRISP_ASSIGN_OR_RETURN(const Json* value, Member(object, key));
  if (value == nullptr) return &empty;
  if (!value->is_object()) return WrongType(key, "an object", *value);
  return value;
}

absl::StatusOr<const Json*> JsonArray(const Json& object, const char* key) {
  static const Json& empty = *new Json(Json::array());
  CRISP_ASSIGN_OR_RETURN(const Json* value, Member(object, key));
  if (value == nullptr) return &empty;
  if (!value->is_array()) return WrongType(key, "an array", *value);
  return value;
}

}  // namespace crisp
