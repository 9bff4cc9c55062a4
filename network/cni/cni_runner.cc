#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/status.h"
#include "base/subprocess.h"
#include "network/cni/cni_attachment.h"

namespace crisp::network {
namespace {

// CNI_ARGS has no quoting: what would end a value ends the value instead of adding a key.
std::string ArgValue(absl::string_view value) {
  return std::string(value.substr(0, value.find_first_of(";=")));
}

std::string ArgsOf(const CniAttachment& a) {
  return absl::StrCat("IgnoreUnknown=1;K8S_POD_NAMESPACE=", ArgValue(a.pod_namespace),
                      ";K8S_POD_NAME=", ArgValue(a.pod_name),
                      ";K8S_POD_INFRA_CONTAINER_ID=", ArgValue(a.pod_id),
                      ";K8S_POD_UID=", ArgValue(a.pod_uid));
}

// Without host ports portmap only looks through iptables and passes the result on; that costs more
// than all the rest.
bool HasNothingToDo(const CniPlugin& plugin, const CniAttachment& attachment) {
  return plugin.type == "portmap" && plugin.Declares("portMappings") &&
         !attachment.capability_args.contains("portMappings");
}

}  // namespace

absl::StatusOr<std::string> CniRunner::FindPlugin(const std::string& type) const {
  for (const std::string& dir : bin_dirs_) {
    std::string path = absl::StrCat(dir, "/", type);
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return absl::NotFoundError(
      absl::StrCat("CNI plugin ", type, " is in none of ", absl::StrJoin(bin_dirs_, ", ")));
}

absl::Status CniRunner::CheckPlugins(const CniConfig& config) const {
  for (const CniPlugin& plugin : config.plugins) {
    CRISP_RETURN_IF_ERROR(FindPlugin(plugin.type).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> CniRunner::Run(const CniPlugin& plugin,
                                           const Call& call,
                                           const Operation& operation) const {
  const std::string what = absl::StrCat("CNI plugin ", plugin.type, " (", call.verb, ")");
  const absl::StatusOr<std::string> path = FindPlugin(plugin.type);
  if (!path.ok()) return absl::UnavailableError(path.status().message());
  const char* search = getenv("PATH");
  Command command{
      .argv = {*path},
      .env = {absl::StrCat("CNI_COMMAND=", call.verb),
              absl::StrCat("CNI_PATH=", absl::StrJoin(bin_dirs_, ":")),
              absl::StrCat("PATH=", search != nullptr ? search : "/usr/sbin:/usr/bin:/sbin:/bin")},
      .input = call.input,
      .max_output = 1u << 20};
  if (!call.pod_id.empty()) {
    command.env.push_back(absl::StrCat("CNI_CONTAINERID=", call.pod_id));
    command.env.push_back(absl::StrCat("CNI_NETNS=", call.netns_path));
    command.env.push_back(absl::StrCat("CNI_IFNAME=", Attachment().interface));
    command.env.push_back(absl::StrCat("CNI_ARGS=", call.args));
  }
  absl::StatusOr<CommandResult> result = RunCommand(command, operation);
  if (!result.ok()) {
    const absl::Status status = Annotate(result.status(), what);
    const bool ours = absl::IsDeadlineExceeded(status) || absl::IsCancelled(status);
    return ours ? status : absl::UnavailableError(status.message());
  }
  if (result->exit_code != 0) {
    return absl::UnavailableError(absl::StrCat(what, " failed with ", result->exit_code, ": ",
                                               CniErrorText(result->output, result->errors)));
  }
  return std::move(result->output);
}

absl::StatusOr<Json> CniRunner::Add(const CniAttachment& attachment,
                                    const CniConfig& config,
                                    const Operation& operation) const {
  Json previous;
  for (const CniPlugin& plugin : config.plugins) {
    if (!previous.is_null() && HasNothingToDo(plugin, attachment)) continue;
    const Json* before = previous.is_null() ? nullptr : &previous;
    const Call call{.verb = "ADD",
                    .input = CniInput(config, plugin, attachment.capability_args, before),
                    .pod_id = attachment.pod_id,
                    .netns_path = attachment.netns_path,
                    .args = ArgsOf(attachment)};
    CRISP_ASSIGN_OR_RETURN(const std::string output, Run(plugin, call, operation));
    absl::StatusOr<CniResult> result = ParseCniResult(output, Attachment().interface);
    if (!result.ok()) {
      return absl::UnavailableError(
          absl::StrCat("CNI plugin ", plugin.type,
                       " (ADD) printed no valid result: ", result.status().message()));
    }
    previous = std::move(result->json);
  }
  return previous;
}

absl::Status CniRunner::Del(const CniAttachment& attachment,
                            const std::string& netns_path,
                            const Operation& operation) const {
  CRISP_ASSIGN_OR_RETURN(const CniConfig config, ParseCniConfig(attachment.config_text));
  // DEL knows prevResult since 0.4.0.
  const bool tell =
      !attachment.result.is_null() && (config.version[0] != '0' || config.version == "0.4.0");
  for (auto plugin = config.plugins.rbegin(); plugin != config.plugins.rend(); ++plugin) {
    if (plugin + 1 != config.plugins.rend() && HasNothingToDo(*plugin, attachment)) continue;
    const Call call{.verb = "DEL",
                    .input = CniInput(config, *plugin, attachment.capability_args,
                                      tell ? &attachment.result : nullptr),
                    .pod_id = attachment.pod_id,
                    .netns_path = netns_path,
                    .args = ArgsOf(attachment)};
    CRISP_RETURN_IF_ERROR(Run(*plugin, call, operation).status());
  }
  return absl::OkStatus();
}

absl::Status CniRunner::CheckStatus(const CniConfig& config, const Operation& operation) const {
  for (const CniPlugin& plugin : config.plugins) {
    const Call call{.verb = "STATUS", .input = CniInput(config, plugin, Json::object(), nullptr)};
    CRISP_RETURN_IF_ERROR(Run(plugin, call, operation).status());
  }
  return absl::OkStatus();
}

absl::Status CniRunner::CollectGarbage(const CniConfig& config,
                                       const std::vector<std::string>& valid_pods,
                                       const Operation& operation) const {
  Json valid = Json::array();
  for (const std::string& pod : valid_pods) {
    valid.push_back({{"containerID", pod}, {"ifname", Attachment().interface}});
  }
  absl::Status status;
  for (const CniPlugin& plugin : config.plugins) {
    CniPlugin with_list = plugin;
    with_list.config["cni.dev/valid-attachments"] = valid;
    const Call call{.verb = "GC", .input = CniInput(config, with_list, Json::object(), nullptr)};
    status.Update(Run(plugin, call, operation).status());
  }
  return status;
}

}  // namespace crisp::network
