#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/status.h"
#include "base/utf8.h"
#include "storage/oci/digest.h"
#include "storage/oci/image_manifest.h"

namespace crisp::storage {
namespace {

constexpr int kMaxDepth = 100;  // of fields that nobody here reads

absl::Status Invalid(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("image config: ", what));
}

// A text that ends up in execve, mount or a passwd look-up must not be cut short by a NUL on the
// way.
absl::Status CheckText(absl::string_view text, absl::string_view what) {
  if (!absl::StrContains(text, absl::string_view("\0", 1))) return absl::OkStatus();
  return Invalid(absl::StrCat(what, " contains a NUL byte"));
}

absl::StatusOr<std::string> Text(const Json& object, const char* key) {
  CRISP_ASSIGN_OR_RETURN(std::string text, JsonString(object, key));
  CRISP_RETURN_IF_ERROR(CheckText(text, key));
  return text;
}

absl::StatusOr<std::vector<std::string>> Strings(const Json& object, const char* key) {
  CRISP_ASSIGN_OR_RETURN(const Json* array, JsonArray(object, key));
  std::vector<std::string> strings;
  strings.reserve(array->size());
  for (const Json& item : *array) {
    if (!item.is_string())
      return Invalid(absl::StrCat("'", key, "' holds something that is not a string"));
    strings.push_back(item.get_ref<const std::string&>());
    CRISP_RETURN_IF_ERROR(CheckText(strings.back(), key));
  }
  return strings;
}

// Times only inform; one that cannot be read is the epoch, not a failed pull.
absl::StatusOr<absl::Time> Created(const Json& object) {
  CRISP_ASSIGN_OR_RETURN(const std::string text, JsonString(object, "created"));
  absl::Time time;
  return absl::ParseTime(absl::RFC3339_full, text, &time, nullptr) ? time : absl::UnixEpoch();
}

absl::Status ParseRunConfig(const Json& run, ImageConfig* config) {
  CRISP_ASSIGN_OR_RETURN(config->user, Text(run, "User"));
  CRISP_ASSIGN_OR_RETURN(config->entrypoint, Strings(run, "Entrypoint"));
  CRISP_ASSIGN_OR_RETURN(config->command, Strings(run, "Cmd"));
  CRISP_ASSIGN_OR_RETURN(config->environment, Strings(run, "Env"));
  CRISP_ASSIGN_OR_RETURN(config->working_dir, Text(run, "WorkingDir"));
  CRISP_ASSIGN_OR_RETURN(config->stop_signal, Text(run, "StopSignal"));
  CRISP_ASSIGN_OR_RETURN(const Json* volumes, JsonObject(run, "Volumes"));
  for (const auto& item : volumes->items()) {
    CRISP_RETURN_IF_ERROR(CheckText(item.key(), "Volumes"));
    config->volumes.push_back(item.key());
  }
  std::sort(config->volumes.begin(), config->volumes.end());
  return absl::OkStatus();
}

absl::Status ParseRootFs(const Json& rootfs, ImageConfig* config) {
  CRISP_ASSIGN_OR_RETURN(const std::string type, JsonString(rootfs, "type", "layers"));
  if (type != "layers") return Invalid("rootfs.type is not \"layers\"");
  CRISP_ASSIGN_OR_RETURN(config->diff_ids, Strings(rootfs, "diff_ids"));
  if (config->diff_ids.size() > kMaxLayers) {
    return Invalid(absl::StrCat(config->diff_ids.size(), " diff_ids, the limit is ", kMaxLayers));
  }
  for (const std::string& diff_id : config->diff_ids) {
    CRISP_RETURN_IF_ERROR(CheckDigest(diff_id));
  }
  return absl::OkStatus();
}

absl::Status ParseHistory(const Json& history, ImageConfig* config) {
  for (const Json& json : history) {
    if (!json.is_object()) return Invalid("'history' holds something that is not an object");
    ConfigHistory entry;
    CRISP_ASSIGN_OR_RETURN(entry.created_by, JsonString(json, "created_by"));
    CRISP_ASSIGN_OR_RETURN(entry.comment, JsonString(json, "comment"));
    CRISP_ASSIGN_OR_RETURN(entry.created, Created(json));
    CRISP_ASSIGN_OR_RETURN(entry.empty_layer, JsonBool(json, "empty_layer"));
    config->history.push_back(std::move(entry));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ImageConfig> ParseImageConfig(absl::string_view bytes) {
  const JsonLimits limits{kMaxConfigBytes, kMaxDepth};
  CRISP_ASSIGN_OR_RETURN(const Json document, IsUtf8(bytes)
                                                  ? ParseJson(bytes, limits)
                                                  : ParseJson(ReplaceInvalidUtf8(bytes), limits));
  if (!document.is_object()) return Invalid("no JSON object");
  ImageConfig config;
  CRISP_ASSIGN_OR_RETURN(config.platform.os, JsonString(document, "os"));
  config.platform.os = absl::AsciiStrToLower(config.platform.os);
  CRISP_ASSIGN_OR_RETURN(config.platform.architecture, JsonString(document, "architecture"));
  CRISP_ASSIGN_OR_RETURN(config.platform.variant, JsonString(document, "variant"));
  CRISP_ASSIGN_OR_RETURN(config.created, Created(document));
  CRISP_ASSIGN_OR_RETURN(const Json* run, JsonObject(document, "config"));
  CRISP_RETURN_IF_ERROR(ParseRunConfig(*run, &config));
  CRISP_ASSIGN_OR_RETURN(const Json* rootfs, JsonObject(document, "rootfs"));
  CRISP_RETURN_IF_ERROR(ParseRootFs(*rootfs, &config));
  CRISP_ASSIGN_OR_RETURN(const Json* history, JsonArray(document, "history"));
  CRISP_RETURN_IF_ERROR(ParseHistory(*history, &config));
  return config;
}

}  // namespace crisp::storage
