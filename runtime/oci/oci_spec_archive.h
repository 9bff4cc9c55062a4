#ifndef CRISP_RUNTIME_OCI_OCI_SPEC_ARCHIVE_H_
#define CRISP_RUNTIME_OCI_OCI_SPEC_ARCHIVE_H_

#include <concepts>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "runtime/oci/oci_spec.h"

namespace crisp::runtime {

// Reads and writes JSON with one description per type, so that the two directions cannot drift
// apart:
//   template <class A> void Describe(A& a, OciRoot& v) { a.Required("path", v.path); … }
// Reader and writer have the same methods. Field() is for a member that may be absent, Required()
// for one that may not. Internal to oci_spec.cc.

class JsonReader;
class JsonWriter;

template <class T>
concept Described = requires(JsonReader& reader, JsonWriter& writer, T& value) {
  Describe(reader, value);
  Describe(writer, value);
};

// Reads. It keeps the first error, with the path of the member, and later reads do nothing.
class JsonReader {
 public:
  JsonReader(const Json& json, std::string path, absl::Status* status)
      : json_(json), path_(std::move(path)), status_(status) {
    if (!json.is_object()) Fail(path_, "is not an object");
  }

  template <class T>
  void Field(const char* name, T& value) {
    const Json* member = Find(name);
    if (member != nullptr) Read(*member, value, Join(name));
  }

  template <class T>
  void Required(const char* name, T& value) {
    const Json* member = Find(name);
    if (member == nullptr) return Fail(Join(name), "is missing");
    Read(*member, value, Join(name));
  }

  // A string that must be an absolute path, if it is there and not empty.
  void AbsolutePath(const char* name, std::string& value) {
    Field(name, value);
    if (!value.empty() && value[0] != '/') Fail(Join(name), "is not an absolute path");
  }

  // Takes every member that has not been read yet. Call it last.
  void Rest(Json& other) {
    if (!status_->ok()) return;
    other = Json::object();
    for (const auto& [name, value] : json_.items()) {
      if (!seen_.contains(name)) other[name] = value;
    }
  }

  void Fail(const std::string& path, absl::string_view what) {
    if (status_->ok()) *status_ = absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
  }

 private:
  const Json* Find(const char* name) {
    seen_.insert(name);
    if (!status_->ok()) return nullptr;
    auto it = json_.find(name);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }
  std::string Join(absl::string_view name) const {
    return path_.empty() ? std::string(name) : absl::StrCat(path_, ".", name);
  }

  void Read(const Json& json, bool& value, const std::string& path) {
    if (!json.is_boolean()) return Fail(path, "is not a boolean");
    value = json.get<bool>();
  }
  template <std::integral T>
  void Read(const Json& json, T& value, const std::string& path) {
    if (json.is_number_unsigned()) {
      uint64_t number = json.get<uint64_t>();
      if (number > static_cast<uint64_t>(std::numeric_limits<T>::max())) {
        return Fail(path, "is out of range");
      }
      value = static_cast<T>(number);
    } else if (json.is_number_integer()) {
      int64_t number = json.get<int64_t>();
      if (!std::in_range<T>(number)) return Fail(path, "is out of range");
      value = static_cast<T>(number);
    } else {
      Fail(path, "is not an integer");
    }
  }
  void Read(const Json& json, std::string& value, const std::string& path) {
    if (!json.is_string()) return Fail(path, "is not a string");
    value = json.get<std::string>();
    if (value.find('\0') != std::string::npos) Fail(path, "has a NUL byte");
  }
  void Read(const Json& json, Json& value, const std::string&) { value = json; }
  template <class T>
  void Read(const Json& json, std::optional<T>& value, const std::string& path) {
    Read(json, value.emplace(), path);
  }
  template <class T>
  void Read(const Json& json, Shared<T>& value, const std::string& path) {
    T part;
    Read(json, part, path);
    value = std::move(part);
  }
  template <class T>
  void Read(const Json& json, std::vector<T>& value, const std::string& path) {
    if (!json.is_array()) return Fail(path, "is not an array");
    value.clear();
    for (const Json& element : json) {
      const std::string name = absl::StrCat(path, "[", value.size(), "]");
      Read(element, value.emplace_back(), name);
      if (!status_->ok()) return;
    }
  }
  template <class T>
  void Read(const Json& json, std::map<std::string, T>& value, const std::string& path) {
    if (!json.is_object()) return Fail(path, "is not an object");
    value.clear();
    for (const auto& [name, member] : json.items()) {
      if (name.find('\0') != std::string::npos) return Fail(path, "has a key with a NUL byte");
      Read(member, value[name], absl::StrCat(path, ".", name));
    }
  }
  template <Described T>
  void Read(const Json& json, T& value, const std::string& path) {
    JsonReader reader(json, path, status_);
    if (status_->ok()) Describe(reader, value);
  }

  const Json& json_;
  const std::string path_;
  absl::Status* status_;
  std::set<std::string> seen_;
};

class JsonWriter {
 public:
  // Leaves a member out if it is unset, empty, false or zero.
  template <class T>
  void Field(const char* name, const T& value) {
    if (!IsEmpty(value)) json_[name] = Write(value);
  }
  template <class T>
  void Required(const char* name, const T& value) {
    json_[name] = Write(value);
  }
  void AbsolutePath(const char* name, const std::string& value) { Field(name, value); }
  void Rest(const Json& other) {
    if (!other.is_object()) return;
    for (const auto& [name, value] : other.items()) json_.emplace(name, value);
  }
  Json Take() { return std::move(json_); }

 private:
  template <class T>
  static bool IsEmpty(const T& value) {
    if constexpr (std::is_same_v<T, Json>) {
      return value.is_null();
    } else if constexpr (std::is_arithmetic_v<T>) {
      return value == T{};
    } else if constexpr (Described<T>) {
      return Write(value).empty();
    } else if constexpr (requires { value.has_value(); }) {
      return !value.has_value();
    } else {
      return value.empty();
    }
  }
  template <class T>
  static Json Write(const T& value) {
    if constexpr (Described<T>) {
      JsonWriter writer;
      // One description serves both directions; a writer only reads.
      Describe(writer, const_cast<T&>(value));
      return writer.Take();
    } else {
      return Json(value);
    }
  }
  template <class T>
  static Json Write(const std::optional<T>& value) {
    return Write(*value);
  }
  template <class T>
  static Json Write(const Shared<T>& value) {
    return Write(*value);
  }
  template <class T>
  static Json Write(const std::vector<T>& values) {
    Json array = Json::array();
    for (const T& value : values) array.push_back(Write(value));
    return array;
  }
  static Json Write(const std::map<std::string, std::string>& values) {
    Json object = Json::object();
    for (const auto& [name, value] : values) object[name] = value;
    return object;
  }

  Json json_ = Json::object();
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_OCI_OCI_SPEC_ARCHIVE_H_
