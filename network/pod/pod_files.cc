#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "network/pod/pod_network.h"

namespace crisp::network {
namespace {

absl::Status CheckWords(const char* what, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    const bool bad = word.empty() || word.size() > 1024 ||
                     std::any_of(word.begin(), word.end(),
                                 [](unsigned char c) { return c <= ' ' || c == 0x7f; });
    if (bad) {
      return absl::InvalidArgumentError(
          absl::StrCat("DNS ", what, " \"", absl::CHexEscape(word.substr(0, 64)),
                       "\" is empty, too long, or has white space or control characters"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> RenderResolvConf(const DnsConfig& config) {
  CRISP_RETURN_IF_ERROR(CheckWords("search domain", config.searches));
  CRISP_RETURN_IF_ERROR(CheckWords("server", config.servers));
  CRISP_RETURN_IF_ERROR(CheckWords("option", config.options));
  std::string text;
  if (!config.searches.empty()) {
    absl::StrAppend(&text, "search ", absl::StrJoin(config.searches, " "), "\n");
  }
  for (const std::string& server : config.servers)
    absl::StrAppend(&text, "nameserver ", server, "\n");
  if (!config.options.empty()) {
    absl::StrAppend(&text, "options ", absl::StrJoin(config.options, " "), "\n");
  }
  return text;
}

std::string RenderHosts(absl::string_view hostname, const std::vector<std::string>& addresses) {
  std::string text =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::0\tip6-localnet\n"
      "ff00::0\tip6-mcastprefix\n"
      "ff02::1\tip6-allnodes\n"
      "ff02::2\tip6-allrouters\n";
  for (const std::string& address : addresses) {
    absl::StrAppend(&text, address, "\t", hostname, "\n");
  }
  return text;
}

}  // namespace crisp::network
