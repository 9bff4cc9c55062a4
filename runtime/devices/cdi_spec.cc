#include "runtime/devices/cdi_spec.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "base/yaml_document.h"

namespace crisp::runtime {
namespace {

constexpr absl::string_view kAnnotationPrefix = "cdi.k8s.io/";
constexpr int64_t kMaxU32 = std::numeric_limits<uint32_t>::max();

absl::Status Invalid(absl::string_view where, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", why));
}

// Vendor, class and device names differ in how they begin and what else may be inside.
absl::Status CheckName(absl::string_view what,
                       absl::string_view name,
                       bool digit_first,
                       absl::string_view inside) {
  const auto fail = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("the ", what, " \"", name, "\" ", why));
  };
  if (name.empty()) return fail("is empty");
  if (name.size() > 253) return fail("is too long");
  if (!absl::ascii_isalpha(name[0]) && !(digit_first && absl::ascii_isdigit(name[0]))) {
    return fail(digit_first ? "must begin with a letter or digit" : "must begin with a letter");
  }
  if (!absl::ascii_isalnum(name.back())) return fail("must end with a letter or digit");
  for (const char c : name) {
    if (!absl::ascii_isalnum(c) && inside.find(c) == absl::string_view::npos) {
      return fail(absl::StrCat("must be of letters, digits and ", inside));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckKind(absl::string_view kind) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(kind, absl::MaxSplits('/', 1));
  CRISP_RETURN_IF_ERROR(CheckName("vendor", parts.first, false, "_-."));
  return CheckName("class", parts.second, false, "_-.");
}

// Reads one file; knows its version, which members must not be ahead of.
class SpecReader {
 public:
  absl::StatusOr<CdiSpec> Read(const Json& json);

 private:
  using Take = std::function<absl::Status(const std::string& key, const Json& value)>;

  // Calls `take` for every member that is not null; it returns NotFound for one it does not know.
  static absl::Status Members(const Json& json, const std::string& where, const Take& take) {
    if (!json.is_object()) return Invalid(where, "must be a mapping");
    for (const auto& [key, value] : json.items()) {
      const absl::Status taken = value.is_null() ? absl::OkStatus() : take(key, value);
      if (absl::IsNotFound(taken)) return Invalid(where, absl::StrCat("unknown member ", key));
      CRISP_RETURN_IF_ERROR(taken);
    }
    return absl::OkStatus();
  }
  static absl::Status Each(
      const Json& json,
      const std::string& where,
      const std::function<absl::Status(const Json&, const std::string&)>& take) {
    if (!json.is_array()) return Invalid(where, "must be a list");
    for (size_t i = 0; i < json.size(); ++i) {
      CRISP_RETURN_IF_ERROR(take(json[i], absl::StrCat(where, "[", i, "]")));
    }
    return absl::OkStatus();
  }
  template <typename T, typename V>
  static absl::Status Set(T& member, absl::StatusOr<V> value) {
    if (!value.ok()) return value.status();
    member = static_cast<T>(*std::move(value));
    return absl::OkStatus();
  }
  static absl::Status SetU32(std::optional<uint32_t>& member,
                             const Json& value,
                             const std::string& where) {
    CRISP_ASSIGN_OR_RETURN(const int64_t number, YamlInt(value, where, 0, kMaxU32));
    member = static_cast<uint32_t>(number);
    return absl::OkStatus();
  }

  absl::Status Version(const Json& value);
  absl::Status Needs(int minor, const std::string& where) const {
    if (version_ >= minor) return absl::OkStatus();
    return Invalid(where, absl::StrCat("is newer than the file's cdiVersion ", version_text_));
  }
  absl::Status Annotations(const Json& value, const std::string& where) const;
  absl::Status Device(const Json& json, const std::string& where, CdiSpec& spec);
  absl::Status Edits(const Json& json, const std::string& where, CdiEdits& edits);
  absl::Status Env(const Json& json, const std::string& where, CdiEdits& edits);
  absl::Status Node(const Json& json, const std::string& where, CdiEdits& edits);
  absl::Status Mount(const Json& json, const std::string& where, CdiEdits& edits);

  int version_ = 0;  // major × 100 + minor
  std::string version_text_;
};

absl::Status SpecReader::Version(const Json& value) {
  CRISP_ASSIGN_OR_RETURN(version_text_, YamlString(value, "cdiVersion"));
  absl::string_view text = version_text_;
  absl::ConsumePrefix(&text, "v");
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  int major = 0, minor = 0, patch = 0;
  if (parts.size() != 3 || !absl::SimpleAtoi(parts[0], &major) ||
      !absl::SimpleAtoi(parts[1], &minor) || !absl::SimpleAtoi(parts[2], &patch) || minor < 0 ||
      minor > 99) {
    return Invalid("cdiVersion", absl::StrCat("\"", version_text_, "\" is not a version"));
  }
  version_ = major * 100 + minor;
  const bool known = major == 0 ? minor >= 3 && minor <= 8 : major == 1 && minor <= 1;
  if (known) return absl::OkStatus();
  return Invalid("cdiVersion", absl::StrCat(version_text_, " is not of 0.3 to 0.8, 1.0 and 1.1"));
}

absl::Status SpecReader::Annotations(const Json& value, const std::string& where) const {
  CRISP_RETURN_IF_ERROR(Needs(6, where));
  return Members(value, where, [&where](const std::string& key, const Json& text) {
    return YamlString(text, absl::StrCat(where, ".", key)).status();
  });
}

absl::Status SpecReader::Env(const Json& json, const std::string& where, CdiEdits& edits) {
  CRISP_ASSIGN_OR_RETURN(edits.env, YamlStrings(json, where));
  for (const std::string& entry : edits.env) {
    const size_t sign = entry.find('=');
    if (sign == std::string::npos || sign == 0) {
      return Invalid(where, absl::StrCat("\"", entry, "\" is not NAME=VALUE"));
    }
  }
  return absl::OkStatus();
}

absl::Status SpecReader::Node(const Json& json, const std::string& where, CdiEdits& edits) {
  CdiDeviceNode node;
  const absl::Status read =
      Members(json, where, [&](const std::string& key, const Json& value) -> absl::Status {
        const std::string at = absl::StrCat(where, ".", key);
        if (key == "path") return Set(node.path, YamlString(value, at));
        if (key == "type") return Set(node.type, YamlString(value, at));
        if (key == "permissions") return Set(node.permissions, YamlString(value, at));
        if (key == "major") return Set(node.major, YamlInt(value, at, 0, 0xfff));
        if (key == "minor") return Set(node.minor, YamlInt(value, at, 0, 0xfffff));
        if (key == "fileMode") return SetU32(node.file_mode, value, at);
        if (key == "uid") return SetU32(node.uid, value, at);
        if (key == "gid") return SetU32(node.gid, value, at);
        if (key != "hostPath") return absl::NotFoundError(key);
        CRISP_RETURN_IF_ERROR(Needs(5, at));
        return Set(node.host_path, YamlString(value, at));
      });
  CRISP_RETURN_IF_ERROR(read);
  if (!absl::StartsWith(node.path, "/")) return Invalid(where, "path must be absolute");
  if (!node.host_path.empty() && node.host_path[0] != '/')
    return Invalid(where, "hostPath must be absolute");
  if (node.type.size() > 1 || node.type.find_first_not_of("bcup") != std::string::npos) {
    return Invalid(where, absl::StrCat("type \"", node.type, "\" is not one of b, c, u and p"));
  }
  if (node.permissions.empty())
    node.permissions = "rwm";
  else if (node.permissions == "none")
    node.permissions.clear();
  if (node.permissions.find_first_not_of("rwm") != std::string::npos) {
    return Invalid(where,
                   absl::StrCat("permissions \"", node.permissions, "\" are not of r, w and m"));
  }
  edits.device_nodes.push_back(std::move(node));
  return absl::OkStatus();
}

absl::Status SpecReader::Mount(const Json& json, const std::string& where, CdiEdits& edits) {
  CdiMount mount;
  const absl::Status read =
      Members(json, where, [&](const std::string& key, const Json& value) -> absl::Status {
        const std::string at = absl::StrCat(where, ".", key);
        if (key == "hostPath") return Set(mount.host_path, YamlString(value, at));
        if (key == "containerPath") return Set(mount.container_path, YamlString(value, at));
        if (key == "options") return Set(mount.options, YamlStrings(value, at));
        if (key != "type") return absl::NotFoundError(key);
        CRISP_RETURN_IF_ERROR(Needs(4, at));
        return Set(mount.type, YamlString(value, at));
      });
  CRISP_RETURN_IF_ERROR(read);
  if (mount.host_path.empty()) return Invalid(where, "hostPath is missing");
  if (!absl::StartsWith(mount.container_path, "/"))
    return Invalid(where, "containerPath must be absolute");
  edits.mounts.push_back(std::move(mount));
  return absl::OkStatus();
}

absl::Status SpecReader::Edits(const Json& json, const std::string& where, CdiEdits& edits) {
  return Members(json, where, [&](const std::string& key, const Json& value) -> absl::Status {
    const std::string at = absl::StrCat(where, ".", key);
    if (key == "env") return Env(value, at, edits);
    if (key == "deviceNodes") {
      return Each(value, at, [&](const Json& item, const std::string& name) {
        return Node(item, name, edits);
      });
    }
    if (key == "mounts") {
      return Each(value, at, [&](const Json& item, const std::string& name) {
        return Mount(item, name, edits);
      });
    }
    if (key == "additionalGids" || key == "additionalGIDs") {
      CRISP_RETURN_IF_ERROR(Needs(7, at));
      return Each(value, at, [&](const Json& item, const std::string& name) -> absl::Status {
        CRISP_ASSIGN_OR_RETURN(const int64_t gid, YamlInt(item, name, 0, kMaxU32));
        if (gid != 0) edits.additional_gids.push_back(static_cast<uint32_t>(gid));
        return absl::OkStatus();
      });
    }
    const bool list = key == "hooks" || key == "netDevices";
    if (!list && key != "intelRdt") return absl::NotFoundError(key);
    if (list && !value.is_array()) return Invalid(at, "must be a list");
    if (!list && !value.is_object()) return Invalid(at, "must be a mapping");
    if (key == "intelRdt") CRISP_RETURN_IF_ERROR(Needs(7, at));
    if (key == "netDevices") CRISP_RETURN_IF_ERROR(Needs(101, at));
    if (!value.empty()) edits.unsupported.push_back(key);
    return absl::OkStatus();
  });
}

absl::Status SpecReader::Device(const Json& json, const std::string& where, CdiSpec& spec) {
  std::string name;
  CdiEdits edits;
  const absl::Status read =
      Members(json, where, [&](const std::string& key, const Json& value) -> absl::Status {
        const std::string at = absl::StrCat(where, ".", key);
        if (key == "name") return Set(name, YamlString(value, at));
        if (key == "annotations") return Annotations(value, at);
        if (key == "containerEdits") return Edits(value, at, edits);
        return absl::NotFoundError(key);
      });
  CRISP_RETURN_IF_ERROR(read);
  const absl::Status named = CheckName("device name", name, version_ >= 5, "_-.:");
  if (!named.ok()) return Annotate(named, where);
  if (edits.empty()) return Invalid(where, absl::StrCat("device ", name, " has no containerEdits"));
  if (spec.devices.emplace(name, std::move(edits)).second) return absl::OkStatus();
  return Invalid(where, absl::StrCat("device ", name, " is given twice"));
}

absl::StatusOr<CdiSpec> SpecReader::Read(const Json& json) {
  if (!json.is_object()) return Invalid("the document", "must be a mapping");
  const auto version = json.find("cdiVersion");
  if (version == json.end()) return Invalid("cdiVersion", "is missing");
  CRISP_RETURN_IF_ERROR(Version(*version));
  CdiSpec spec;
  const absl::Status read =
      Members(json, "the document", [&](const std::string& key, const Json& value) -> absl::Status {
        if (key == "cdiVersion") return absl::OkStatus();
        if (key == "kind") return Set(spec.kind, YamlString(value, key));
        if (key == "annotations") return Annotations(value, key);
        if (key == "containerEdits") return Edits(value, key, spec.edits);
        if (key != "devices") return absl::NotFoundError(key);
        return Each(value, key, [&](const Json& item, const std::string& where) {
          return Device(item, where, spec);
        });
      });
  CRISP_RETURN_IF_ERROR(read);
  CRISP_RETURN_IF_ERROR(Annotate(CheckKind(spec.kind), "kind"));
  const std::string klass = spec.kind.substr(spec.kind.find('/') + 1);
  if (absl::StrContains(klass, ".")) CRISP_RETURN_IF_ERROR(Needs(6, "a dot in the class of kind"));
  if (spec.devices.empty()) return Invalid("devices", "there is none");
  return spec;
}

}  // namespace

void CdiEdits::Append(const CdiEdits& other) {
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  append(env, other.env);
  append(device_nodes, other.device_nodes);
  append(mounts, other.mounts);
  append(additional_gids, other.additional_gids);
  append(unsupported, other.unsupported);
}

absl::StatusOr<CdiDeviceName> ParseCdiDeviceName(absl::string_view text) {
  const auto check = [&]() -> absl::Status {
    const size_t sign = text.find('=');
    if (sign == absl::string_view::npos || !absl::StrContains(text.substr(0, sign), "/")) {
      return absl::InvalidArgumentError("it is not VENDOR/CLASS=NAME");
    }
    CRISP_RETURN_IF_ERROR(CheckKind(text.substr(0, sign)));
    return CheckName("device name", text.substr(sign + 1), true, "_-.:");
  };
  const absl::Status checked = check();
  if (!checked.ok()) return Annotate(checked, absl::StrCat("CDI device \"", text, "\""));
  const size_t sign = text.find('=');
  return CdiDeviceName{.kind = std::string(text.substr(0, sign)),
                       .name = std::string(text.substr(sign + 1))};
}

absl::StatusOr<CdiSpec> ParseCdiSpec(absl::string_view text) {
  CRISP_ASSIGN_OR_RETURN(const Json json, ParseYaml(text));
  return SpecReader().Read(json);
}

std::vector<std::string> CdiDevicesOfAnnotations(
    const std::map<std::string, std::string>& annotations) {
  std::vector<std::string> devices;
  for (const auto& [key, value] : annotations) {
    if (!absl::StartsWith(key, kAnnotationPrefix)) continue;
    for (absl::string_view device : absl::StrSplit(value, ',')) devices.emplace_back(device);
  }
  return devices;
}

}  // namespace crisp::runtime
