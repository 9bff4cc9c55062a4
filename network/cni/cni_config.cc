#include "network/cni/cni_config.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "network/values/ip_address.h"

namespace crisp::network {
namespace {

constexpr JsonLimits kConfigLimits{.max_bytes = 1u << 20, .max_depth = 32};
constexpr const char* kVersions[] = {"1.1.0", "1.0.0", "0.4.0", "0.3.1", "0.3.0"};  // newest first

bool IsNetworkName(const std::string& name) {
  return !name.empty() && name.size() <= 255 && absl::ascii_isalnum(name[0]) &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
         });
}

bool IsProgramName(const std::string& type) {
  return !type.empty() && type.size() <= 255 && type[0] != '.' &&
         type.find_first_of(std::string("/\0", 2)) == std::string::npos;
}

// The newest version that we and the configuration speak.
absl::StatusOr<std::string> VersionOf(const Json& json) {
  CRISP_ASSIGN_OR_RETURN(const std::string single, JsonString(json, "cniVersion"));
  CRISP_ASSIGN_OR_RETURN(const Json* several, JsonArray(json, "cniVersions"));
  for (const char* version : kVersions) {
    const bool offered =
        single == version || std::any_of(several->begin(), several->end(), [&](const Json& v) {
          return v.is_string() && v.get_ref<const std::string&>() == version;
        });
    if (offered) return std::string(version);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "cniVersion \"", absl::CHexEscape(single.substr(0, 32)), "\" is none of 0.3.0 to 1.1.0"));
}

absl::StatusOr<CniPlugin> PluginOf(const Json& json) {
  if (!json.is_object()) return absl::InvalidArgumentError("a plugin is not a JSON object");
  CRISP_ASSIGN_OR_RETURN(std::string type, JsonString(json, "type"));
  if (!IsProgramName(type)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "plugin type \"", absl::CHexEscape(type.substr(0, 64)), "\" names no program"));
  }
  CRISP_RETURN_IF_ERROR(JsonObject(json, "capabilities").status());
  return CniPlugin{.type = std::move(type), .config = json};
}

// Which interfaces of a result are the pod's; appends the host's to `host`.
absl::StatusOr<std::vector<bool>> ReadInterfaces(const Json& interfaces,
                                                 absl::string_view wanted,
                                                 CniResult& result) {
  std::vector<bool> in_pod;
  for (const Json& item : interfaces) {
    if (!item.is_object()) return absl::InvalidArgumentError("an interface is not a JSON object");
    CRISP_ASSIGN_OR_RETURN(std::string name, JsonString(item, "name"));
    CRISP_ASSIGN_OR_RETURN(std::string mac, JsonString(item, "mac"));
    CRISP_ASSIGN_OR_RETURN(const std::string sandbox, JsonString(item, "sandbox"));
    in_pod.push_back(!sandbox.empty() && name == wanted);
    if (in_pod.back() && result.mac.empty() && mac.size() <= 64) result.mac = std::move(mac);
    if (sandbox.empty()) result.host_interfaces.push_back(std::move(name));
  }
  return in_pod;
}

}  // namespace

bool CniPlugin::Declares(const char* capability) const {
  const absl::StatusOr<const Json*> capabilities = JsonObject(config, "capabilities");
  if (!capabilities.ok()) return false;
  const auto it = (*capabilities)->find(capability);
  return it != (*capabilities)->end() && it->is_boolean() && it->get<bool>();
}

absl::StatusOr<CniConfig> ParseCniConfig(absl::string_view text) {
  CRISP_ASSIGN_OR_RETURN(const Json json, ParseJson(text, kConfigLimits));
  if (!json.is_object())
    return absl::InvalidArgumentError("the CNI configuration is not a JSON object");
  CniConfig config{.text = std::string(text)};
  CRISP_ASSIGN_OR_RETURN(config.name, JsonString(json, "name"));
  if (!IsNetworkName(config.name)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "network name \"", absl::CHexEscape(config.name.substr(0, 64)), "\" is not allowed"));
  }
  CRISP_ASSIGN_OR_RETURN(config.version, VersionOf(json));
  CRISP_ASSIGN_OR_RETURN(config.disable_gc, JsonBool(json, "disableGC"));
  if (!json.contains("plugins")) {
    CRISP_ASSIGN_OR_RETURN(CniPlugin plugin, PluginOf(json));
    config.plugins.push_back(std::move(plugin));
    return config;
  }
  CRISP_ASSIGN_OR_RETURN(const Json* plugins, JsonArray(json, "plugins"));
  if (plugins->empty() || plugins->size() > 32) {
    return absl::InvalidArgumentError(
        absl::StrCat("a CNI configuration with ", plugins->size(), " plugins"));
  }
  for (const Json& item : *plugins) {
    CRISP_ASSIGN_OR_RETURN(CniPlugin plugin, PluginOf(item));
    config.plugins.push_back(std::move(plugin));
  }
  return config;
}

absl::StatusOr<CniConfigFile> FindCniConfig(const std::string& directory) {
  const absl::Status none =
      absl::NotFoundError(absl::StrCat("no CNI configuration in ", directory));
  absl::StatusOr<std::vector<std::string>> names = ListDir(directory);
  if (absl::IsNotFound(names.status())) return none;
  if (!names.ok()) return names.status();
  std::sort(names->begin(), names->end());
  for (const std::string& name : *names) {
    if (!absl::EndsWith(name, ".conf") && !absl::EndsWith(name, ".conflist") &&
        !absl::EndsWith(name, ".json")) {
      continue;
    }
    const std::string path = absl::StrCat(directory, "/", name);
    struct stat info;
    if (stat(path.c_str(), &info) != 0) {
      if (errno == ENOENT) continue;  // replaced under our eyes; the next look finds it
      return ErrnoError(errno, absl::StrCat("stat ", path));
    }
    if (!S_ISREG(info.st_mode)) continue;
    return CniConfigFile{.path = path,
                         .stamp = absl::StrCat(path, "/", info.st_ino, "/", info.st_size, "/",
                                               info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec)};
  }
  return none;
}

std::string CniInput(const CniConfig& config,
                     const CniPlugin& plugin,
                     const Json& capability_args,
                     const Json* previous_result) {
  Json input = plugin.config;
  input["name"] = config.name;
  input["cniVersion"] = config.version;
  input.erase("cniVersions");
  Json runtime_config = Json::object();
  for (const auto& [capability, value] : capability_args.items()) {
    if (plugin.Declares(capability.c_str())) runtime_config[capability] = value;
  }
  if (!runtime_config.empty()) input["runtimeConfig"] = std::move(runtime_config);
  if (previous_result != nullptr) input["prevResult"] = *previous_result;
  return DumpJson(input);
}

absl::StatusOr<CniResult> ParseCniResult(absl::string_view text, absl::string_view interface) {
  CniResult result;
  CRISP_ASSIGN_OR_RETURN(result.json, ParseJson(text, kConfigLimits));
  if (!result.json.is_object())
    return absl::InvalidArgumentError("the result is not a JSON object");
  CRISP_ASSIGN_OR_RETURN(const Json* interfaces, JsonArray(result.json, "interfaces"));
  CRISP_ASSIGN_OR_RETURN(const Json* ips, JsonArray(result.json, "ips"));
  if (interfaces->size() > 64 || ips->size() > 64) {
    return absl::InvalidArgumentError("the result has more than 64 interfaces or addresses");
  }
  CRISP_ASSIGN_OR_RETURN(const std::vector<bool> in_pod,
                         ReadInterfaces(*interfaces, interface, result));
  for (const Json& item : *ips) {
    if (!item.is_object()) return absl::InvalidArgumentError("an address is not a JSON object");
    CRISP_ASSIGN_OR_RETURN(const std::string cidr, JsonString(item, "address"));
    CRISP_ASSIGN_OR_RETURN(const int64_t index, JsonInt(item, "interface", -1));
    if (index >= static_cast<int64_t>(in_pod.size())) {
      return absl::InvalidArgumentError("an address names an interface that is not there");
    }
    if (index >= 0 && !in_pod[static_cast<size_t>(index)]) continue;
    CRISP_RETURN_IF_ERROR(IpPrefix::Parse(cidr).status());
    CRISP_ASSIGN_OR_RETURN(const IpAddress address,
                           IpAddress::Parse(cidr.substr(0, cidr.find('/'))));
    result.addresses.push_back(address.ToString());
  }
  return result;
}

std::string CniErrorText(absl::string_view output, absl::string_view errors) {
  std::string text;
  if (const absl::StatusOr<Json> json = ParseJson(output, kConfigLimits);
      json.ok() && json->is_object()) {
    const absl::StatusOr<std::string> message = JsonString(*json, "msg");
    const absl::StatusOr<std::string> details = JsonString(*json, "details");
    if (message.ok()) text = *message;
    if (details.ok() && !details->empty())
      absl::StrAppend(&text, text.empty() ? "" : "; ", *details);
  }
  if (text.empty()) text = std::string(absl::StripAsciiWhitespace(errors));
  if (text.empty()) return "it gave no reason";
  text.resize(std::min<size_t>(text.size(), 1000));
  return absl::Utf8SafeCHexEscape(text);
}

}  // namespace crisp::network
