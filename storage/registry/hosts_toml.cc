#include <toml++/toml.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <string_view>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "storage/registry/hosts_config.h"

namespace crisp::storage {
namespace {

constexpr char kApiRoot[] = "/v2";
constexpr size_t kMaxHosts = 64;

// Turns one parsed hosts.toml into hosts; knows where it is for the messages.
class Reader {
 public:
  Reader(const std::string& path, const std::string& directory)
      : path_(path), directory_(directory) {}

  // `url` may lack a scheme; an empty one leaves `host` where it points.
  absl::Status ReadUrl(const toml::node& at,
                       absl::string_view url,
                       bool override_path,
                       RegistryHost* host) const;
  absl::Status ReadSettings(const toml::table& table, RegistryHost* host) const;
  absl::Status CheckKeys(const toml::table& table,
                         std::initializer_list<std::string_view> also) const;
  absl::Status Wrong(const toml::node& at, absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(path_, ":", at.source().begin.line, ": ", what));
  }
  absl::StatusOr<std::string> Text(const toml::table& table, const char* key) const;
  absl::StatusOr<bool> Flag(const toml::table& table, const char* key) const;

 private:
  absl::StatusOr<std::vector<std::string>> TextOrList(const toml::node& node,
                                                      absl::string_view key) const;
  absl::Status ReadCapabilities(const toml::node& node, RegistryHost* host) const;
  absl::Status ReadClient(const toml::node& node, RegistryHost* host) const;
  absl::Status ReadHeaders(const toml::node& node, RegistryHost* host) const;
  std::string Absolute(const std::string& file) const {
    return absl::StartsWith(file, "/") ? file : absl::StrCat(directory_, "/", file);
  }

  const std::string& path_;
  const std::string& directory_;
};

absl::StatusOr<std::string> Reader::Text(const toml::table& table, const char* key) const {
  const toml::node* node = table.get(key);
  if (node == nullptr) return std::string();
  if (!node->is_string()) return Wrong(*node, absl::StrCat("'", key, "' is not a string"));
  return std::string(**node->as_string());
}

absl::StatusOr<bool> Reader::Flag(const toml::table& table, const char* key) const {
  const toml::node* node = table.get(key);
  if (node == nullptr) return false;
  if (!node->is_boolean())
    return Wrong(*node, absl::StrCat("'", key, "' is neither true nor false"));
  return **node->as_boolean();
}

absl::StatusOr<std::vector<std::string>> Reader::TextOrList(const toml::node& node,
                                                            absl::string_view key) const {
  std::vector<std::string> texts;
  if (const auto* text = node.as_string()) {
    texts.emplace_back(**text);
    return texts;
  }
  const toml::array* array = node.as_array();
  if (array == nullptr) return Wrong(node, absl::StrCat("'", key, "' is neither string nor list"));
  for (const toml::node& item : *array) {
    if (!item.is_string())
      return Wrong(item, absl::StrCat("'", key, "' lists something that is not a string"));
    texts.emplace_back(**item.as_string());
  }
  return texts;
}

bool IsPrintableWord(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isgraph(c) && c != '"' && c != '\\' && c != '<' && c != '>';
  });
}

absl::Status Reader::ReadUrl(const toml::node& at,
                             absl::string_view url,
                             bool override_path,
                             RegistryHost* host) const {
  absl::string_view rest = url;
  host->scheme = absl::ConsumePrefix(&rest, "http://") ? "http" : "https";
  absl::ConsumePrefix(&rest, "https://");
  const size_t slash = rest.find('/');
  host->host = std::string(rest.substr(0, slash));
  std::string path(slash == absl::string_view::npos ? "" : rest.substr(slash));
  while (absl::EndsWith(path, "/")) path.pop_back();
  if (!IsPrintableWord(host->host) || absl::StrContains(rest, "://") ||
      rest.find_first_of("@?#") != absl::string_view::npos ||
      (!path.empty() && !IsPrintableWord(path))) {
    return Wrong(at, absl::StrCat("\"", absl::CHexEscape(url.substr(0, 200)),
                                  "\" is not an http or https URL of a host and a path"));
  }
  host->path = path;
  if (!override_path && !absl::EndsWith(path, kApiRoot)) host->path += kApiRoot;
  return absl::OkStatus();
}

absl::Status Reader::ReadCapabilities(const toml::node& node, RegistryHost* host) const {
  CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> names, TextOrList(node, "capabilities"));
  if (names.empty()) return absl::OkStatus();
  host->can_pull = host->can_resolve = false;
  for (const std::string& name : names) {
    const std::string lower = absl::AsciiStrToLower(name);
    if (lower == "pull") {
      host->can_pull = true;
    } else if (lower == "resolve") {
      host->can_resolve = true;
    } else if (lower != "push") {
      return Wrong(node, absl::StrCat("unknown capability \"", absl::CHexEscape(name), "\""));
    }
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadClient(const toml::node& node, RegistryHost* host) const {
  if (const auto* text = node.as_string()) {
    host->client_pairs.emplace_back(Absolute(std::string(**text)), "");
    return absl::OkStatus();
  }
  const toml::array* array = node.as_array();
  if (array == nullptr) return Wrong(node, "'client' is neither string nor list");
  for (const toml::node& item : *array) {
    CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> pair, TextOrList(item, "client"));
    if (item.is_array() ? pair.size() != 2 : pair.size() != 1) {
      return Wrong(item, "'client' needs pairs of certificate and key");
    }
    host->client_pairs.emplace_back(Absolute(pair[0]), pair.size() == 2 ? Absolute(pair[1]) : "");
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadHeaders(const toml::node& node, RegistryHost* host) const {
  const toml::table* table = node.as_table();
  if (table == nullptr) return Wrong(node, "'header' is not a table");
  for (const auto& [key, value] : *table) {
    const std::string name(key.str());
    CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> values, TextOrList(value, name));
    for (const std::string& text : values) {
      const bool sound =
          IsPrintableWord(name) && !absl::StrContains(name, ":") &&
          text.find_first_of(absl::string_view("\r\n\0", 3).data(), 0, 3) == std::string::npos;
      if (!sound) return Wrong(value, "a header's name or value has characters it must not have");
      host->headers.emplace_back(name, text);
    }
  }
  return absl::OkStatus();
}

// `also` is what may stand beside a host's settings.
absl::Status Reader::CheckKeys(const toml::table& table,
                               std::initializer_list<std::string_view> also) const {
  constexpr std::string_view kSettings[] = {
      "capabilities", "ca", "client", "skip_verify", "header", "override_path", "dial_timeout"};
  for (const auto& [key, value] : table) {
    const std::string_view name = key.str();
    if (std::find(std::begin(kSettings), std::end(kSettings), name) != std::end(kSettings))
      continue;
    if (std::find(also.begin(), also.end(), name) != also.end()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        path_, ":", key.source().begin.line, ": unknown key '",
        absl::CHexEscape(absl::string_view(name.data(), std::min<size_t>(name.size(), 64))), "'"));
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadSettings(const toml::table& table, RegistryHost* host) const {
  if (const toml::node* node = table.get("capabilities")) {
    CRISP_RETURN_IF_ERROR(ReadCapabilities(*node, host));
  }
  if (const toml::node* node = table.get("ca")) {
    CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> files, TextOrList(*node, "ca"));
    for (const std::string& file : files) host->ca_files.push_back(Absolute(file));
  }
  if (const toml::node* node = table.get("client")) {
    CRISP_RETURN_IF_ERROR(ReadClient(*node, host));
  }
  if (const toml::node* node = table.get("header")) {
    CRISP_RETURN_IF_ERROR(ReadHeaders(*node, host));
  }
  if (const toml::node* node = table.get("skip_verify")) {
    CRISP_ASSIGN_OR_RETURN(host->skip_verify, Flag(table, "skip_verify"));
    // If TLS is configured, plain http is tried only when the host does not speak TLS.
    host->http_fallback |= host->scheme == "http" && node->is_boolean();
  }
  host->http_fallback |=
      host->scheme == "http" && (!host->ca_files.empty() || !host->client_pairs.empty());
  if (host->http_fallback && absl::EndsWith(host->host, ":80")) host->http_fallback = false;
  if (host->http_fallback) host->scheme = "https";
  if (const toml::node* node = table.get("dial_timeout")) {
    CRISP_ASSIGN_OR_RETURN(const std::string text, Text(table, "dial_timeout"));
    if (!absl::ParseDuration(text, &host->dial_timeout) ||
        host->dial_timeout <= absl::ZeroDuration() || host->dial_timeout > absl::Hours(1)) {
      return Wrong(*node, "'dial_timeout' is not a duration between 0 and 1h, like \"5s\"");
    }
  }
  return absl::OkStatus();
}

// The [host."…"] tables as the file orders them; the parser keeps them by name.
std::vector<std::pair<const toml::key*, const toml::node*>> InFileOrder(const toml::table& hosts) {
  std::vector<std::pair<const toml::key*, const toml::node*>> ordered;
  for (auto it = hosts.cbegin(); it != hosts.cend(); ++it) {
    ordered.emplace_back(&it->first, &it->second);
  }
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
    const toml::source_position x = a.first->source().begin;
    const toml::source_position y = b.first->source().begin;
    return std::tie(x.line, x.column) < std::tie(y.line, y.column);
  });
  return ordered;
}

bool IsSelf(const RegistryHost& host, absl::string_view registry) {
  return CanonicalHost(host.host, host.scheme) == CanonicalHost(registry, host.scheme);
}

absl::StatusOr<toml::table> ParseToml(absl::string_view text, absl::string_view path) {
  try {
    return toml::parse(std::string_view(text.data(), text.size()));
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ":", error.source().begin.line, ": ", std::string(error.description())));
  }
}

// The host that is asked last: the file's `server`, or the registry at the address of its name.
absl::StatusOr<RegistryHost> ReadServer(const Reader& reader,
                                        const toml::table& root,
                                        absl::string_view registry,
                                        bool shared) {
  RegistryHost host = DefaultRegistryHost(registry);
  CRISP_ASSIGN_OR_RETURN(const std::string server, reader.Text(root, "server"));
  if (!server.empty()) {
    CRISP_ASSIGN_OR_RETURN(const bool keep_path, reader.Flag(root, "override_path"));
    host = RegistryHost{};
    CRISP_RETURN_IF_ERROR(reader.ReadUrl(root, server, keep_path, &host));
  }
  CRISP_RETURN_IF_ERROR(reader.ReadSettings(root, &host));
  const bool self = IsSelf(host, registry);
  host.upstream = self || !shared;
  host.send_namespace = !self;
  // Without a `server` the file describes mirrors; what the registry itself can do it cannot
  // narrow.
  if (server.empty()) host.can_pull = host.can_resolve = true;
  return host;
}

}  // namespace

absl::StatusOr<std::vector<RegistryHost>> ParseHostsToml(absl::string_view text,
                                                         const std::string& path,
                                                         const std::string& directory,
                                                         absl::string_view registry,
                                                         bool shared) {
  CRISP_ASSIGN_OR_RETURN(const toml::table root, ParseToml(text, path));
  const Reader reader(path, directory);
  CRISP_RETURN_IF_ERROR(reader.CheckKeys(root, {"server", "host"}));
  std::vector<RegistryHost> hosts;
  if (const toml::node* node = root.get("host")) {
    if (!node->is_table()) return reader.Wrong(*node, "'host' is not a table");
    for (const auto& [key, value] : InFileOrder(*node->as_table())) {
      if (!value->is_table()) return reader.Wrong(*value, "a 'host' entry is not a table");
      CRISP_RETURN_IF_ERROR(reader.CheckKeys(*value->as_table(), {}));
      RegistryHost host;
      CRISP_ASSIGN_OR_RETURN(const bool keep_path,
                             reader.Flag(*value->as_table(), "override_path"));
      const std::string url(key->str());
      CRISP_RETURN_IF_ERROR(reader.ReadUrl(*value, url, keep_path, &host));
      CRISP_RETURN_IF_ERROR(reader.ReadSettings(*value->as_table(), &host));
      host.upstream = IsSelf(host, registry);
      host.send_namespace = !host.upstream;
      hosts.push_back(std::move(host));
      if (hosts.size() > kMaxHosts) return reader.Wrong(*value, "too many hosts");
    }
  }

  CRISP_ASSIGN_OR_RETURN(RegistryHost last, ReadServer(reader, root, registry, shared));
  hosts.push_back(std::move(last));
  return hosts;
}

}  // namespace crisp::storage
