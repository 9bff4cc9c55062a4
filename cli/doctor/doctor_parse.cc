#include "cli/doctor/doctor_parse.h"

#include <arpa/inet.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "base/yaml_document.h"

namespace crisp::cli {
namespace {

constexpr absl::string_view kListening = "0A";

std::string BaseName(absl::string_view path) {
  return std::string(
      path.substr(path.rfind('/') == absl::string_view::npos ? 0 : path.rfind('/') + 1));
}

// "0100007F" for 127.0.0.1: the kernel prints the address as the machine's integer.
std::string KernelHex(absl::string_view host) {
  struct in_addr address {};
  if (inet_pton(AF_INET, std::string(host).c_str(), &address) != 1) return "";
  return absl::StrFormat("%08X", address.s_addr);
}

bool Meets(absl::string_view listener, absl::string_view host) {
  const bool everywhere = listener.find_first_not_of('0') == absl::string_view::npos;
  const std::string ours = KernelHex(host);
  return everywhere || ours.empty() || ours == "00000000" || listener == ours;
}

}  // namespace

absl::Status ReadKubeletConfig(absl::string_view text, KubeletFacts& facts) {
  CRISP_ASSIGN_OR_RETURN(const Json document, ParseYaml(text));
  if (document.is_null()) return absl::OkStatus();
  if (!document.is_object()) return absl::InvalidArgumentError("the document is not a mapping");
  CRISP_ASSIGN_OR_RETURN(facts.cgroup_driver, JsonString(document, "cgroupDriver"));
  CRISP_ASSIGN_OR_RETURN(facts.endpoint, JsonString(document, "containerRuntimeEndpoint"));
  CRISP_ASSIGN_OR_RETURN(facts.image_endpoint, JsonString(document, "imageServiceEndpoint"));
  return absl::OkStatus();
}

std::optional<std::string> FlagValue(const std::vector<std::string>& arguments,
                                     absl::string_view name) {
  std::optional<std::string> value;
  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view argument = arguments[i];
    if (!absl::ConsumePrefix(&argument, "--") || !absl::ConsumePrefix(&argument, name)) continue;
    if (absl::ConsumePrefix(&argument, "="))
      value = std::string(argument);
    else if (argument.empty() && i + 1 < arguments.size())
      value = arguments[i + 1];
  }
  return value;
}

std::vector<std::string> EnvironmentWords(absl::string_view text, absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!absl::ConsumePrefix(&line, key) || !absl::ConsumePrefix(&line, "=")) continue;
    return absl::StrSplit(absl::StrReplaceAll(line, {{"\"", ""}, {"'", ""}}), ' ',
                          absl::SkipEmpty());
  }
  return {};
}

bool ListsModule(absl::string_view text, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const absl::string_view path = line.substr(0, line.find_first_of(" :"));
    std::string module = BaseName(path);
    module = module.substr(0, module.find(".ko"));
    if (absl::StrReplaceAll(module, {{"-", "_"}}) == name) return true;
  }
  return false;
}

bool ListsFileSystem(absl::string_view text, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::EndsWith(line, absl::StrCat("\t", name))) return true;
  }
  return false;
}

std::vector<uint64_t> ListenersAt(absl::string_view table, absl::string_view address) {
  std::vector<uint64_t> inodes;
  const size_t colon = address.rfind(':');
  uint32_t port = 0;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port))
    return inodes;
  const std::string suffix = absl::StrFormat(":%04X", port);
  for (absl::string_view line : absl::StrSplit(table, '\n')) {
    // sl local rem st tx:rx tr:tm retrnsmt uid timeout inode …
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t inode = 0;
    if (fields.size() < 10 || fields[3] != kListening || !absl::EndsWith(fields[1], suffix) ||
        !absl::SimpleAtoi(fields[9], &inode)) {
      continue;
    }
    if (Meets(absl::StripSuffix(fields[1], suffix), address.substr(0, colon)))
      inodes.push_back(inode);
  }
  return inodes;
}

bool HoldsPodOf(absl::string_view runtime, const std::vector<std::string>& arguments) {
  if (arguments.empty()) return false;
  const std::string program = BaseName(arguments.front());
  if (runtime == "containerd") {
    if (!absl::StartsWith(program, "containerd-shim")) return false;
    for (size_t i = 0; i + 1 < arguments.size(); ++i) {
      if (arguments[i] == "-namespace") return arguments[i + 1] == "k8s.io";
    }
    return false;
  }
  // Podman's containers have a conmon as well.
  if (!absl::StartsWith(program, "conmon")) return false;
  for (const std::string& argument : arguments) {
    if (absl::StrContains(argument, "/crio")) return true;
  }
  return false;
}

}  // namespace crisp::cli
