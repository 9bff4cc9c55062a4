#ifndef CRISP_NETWORK_CNI_CNI_CONFIG_H_
#define CRISP_NETWORK_CNI_CNI_CONFIG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json.h"

namespace crisp::network {

// One plugin of a network configuration.
struct CniPlugin {
  std::string type;  // the program's name, no path
  Json config;       // its object as written
  bool Declares(const char* capability) const;
};

// A CNI network configuration (spec 0.3.0 to 1.1.0). https://www.cni.dev/docs/spec/
struct CniConfig {
  std::string name;
  std::string version;
  bool disable_gc = false;
  std::vector<CniPlugin> plugins;
  std::string text;  // the bytes that it was parsed from

  bool HasStatusAndGc() const { return version == "1.1.0"; }
};

// Parses a list ("plugins") or a single plugin's object ("type"). InvalidArgument for anything that
// the specification does not allow, for versions that we do not speak, and for more than 32
// plugins.
absl::StatusOr<CniConfig> ParseCniConfig(absl::string_view text);

struct CniConfigFile {
  std::string path;
  std::string stamp;  // changes with the file: path, inode, size, modification time
};
// The first .conf, .conflist or .json file of the directory by name. NotFound when there is none.
absl::StatusOr<CniConfigFile> FindCniConfig(const std::string& directory);

// The text that a plugin reads on stdin: its object with the network's name and version, the
// capability arguments that it declares (`capability_args` by capability), and the result of the
// plugin before it.
std::string CniInput(const CniConfig& config,
                     const CniPlugin& plugin,
                     const Json& capability_args,
                     const Json* previous_result);

// The part of a plugin's result that the runtime needs.
struct CniResult {
  Json json;
  std::vector<std::string> addresses;        // of the pod's interface, without prefix length
  std::string mac;                           // empty when not told
  std::vector<std::string> host_interfaces;  // those outside of any sandbox
};
// InvalidArgument when malformed or absurd (more than 64 addresses or interfaces, 1 MiB).
absl::StatusOr<CniResult> ParseCniResult(absl::string_view text, absl::string_view interface);

// The message in a failed plugin's output: its error object's "msg" and "details", else its
// stderr's beginning, else that it said nothing.
std::string CniErrorText(absl::string_view output, absl::string_view errors);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_CNI_CNI_CONFIG_H_
