#include "storage/registry/hosts_config.h"

#include <arpa/inet.h>
#include <sys/stat.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp::storage {
namespace {

constexpr char kApiRoot[] = "/v2";
constexpr size_t kMaxHostsToml = 1u << 20;

absl::string_view PortOf(absl::string_view host) {
  const size_t bracket = host.rfind(']');
  const size_t colon = host.find(':', bracket == absl::string_view::npos ? 0 : bracket);
  return colon == absl::string_view::npos ? "" : host.substr(colon + 1);
}

absl::string_view NameOf(absl::string_view host) {
  const absl::string_view port = PortOf(host);
  return port.empty() ? host : host.substr(0, host.size() - port.size() - 1);
}

bool Exists(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0;
}

// Docker's layout: *.crt are authorities, x.cert and x.key a client pair.
absl::StatusOr<RegistryHost> HostWithCertificates(const std::string& directory,
                                                  absl::string_view registry) {
  RegistryHost host = DefaultRegistryHost(registry);
  CRISP_ASSIGN_OR_RETURN(std::vector<std::string> names, ListDir(directory));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    absl::string_view stem = name;
    if (absl::EndsWith(name, ".crt")) {
      host.ca_files.push_back(absl::StrCat(directory, "/", name));
    } else if (absl::ConsumeSuffix(&stem, ".cert")) {
      std::string key = absl::StrCat(directory, "/", stem, ".key");
      if (!Exists(key)) {
        return absl::InvalidArgumentError(
            absl::StrCat("client certificate ", directory, "/", name, " has no ", stem, ".key"));
      }
      host.client_pairs.emplace_back(absl::StrCat(directory, "/", name), std::move(key));
    }
  }
  return host;
}

// This registry's directory in one root; empty if there is none.
std::string FindDirectory(const std::string& root, absl::string_view registry, bool* shared) {
  *shared = false;
  const absl::string_view port = PortOf(registry);
  if (!port.empty()) {
    std::string spelled = absl::StrCat(root, "/", NameOf(registry), "_", port, "_");
    if (Exists(spelled)) return spelled;
  }
  std::string plain = absl::StrCat(root, "/", registry);
  if (Exists(plain)) return plain;
  *shared = true;
  std::string fallback = absl::StrCat(root, "/_default");
  return Exists(fallback) ? fallback : "";
}

}  // namespace

RegistryHost DefaultRegistryHost(absl::string_view registry) {
  RegistryHost host{.host = std::string(registry), .path = kApiRoot, .upstream = true};
  if (registry == "docker.io") {
    host.host = "registry-1.docker.io";
  } else if (IsLoopbackHost(registry)) {
    const absl::string_view port = PortOf(registry);
    if (port == "80") {
      host.scheme = "http";
    } else {
      host.skip_verify = true;
      host.http_fallback = !port.empty() && port != "443";
    }
  }
  return host;
}

std::string CanonicalHost(absl::string_view host, absl::string_view scheme) {
  const absl::string_view port = PortOf(host);
  if (port == (scheme == "http" ? "80" : "443")) host = NameOf(host);
  std::string name = absl::AsciiStrToLower(host);
  if (name == "docker.io" || name == "index.docker.io") return "registry-1.docker.io";
  return name;
}

bool IsLoopbackHost(absl::string_view host) {
  const std::string name = absl::AsciiStrToLower(NameOf(host));
  if (name == "localhost") return true;
  in_addr v4;
  if (inet_pton(AF_INET, name.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  if (name.size() < 2 || name.front() != '[') return false;
  in6_addr v6;
  return inet_pton(AF_INET6, name.substr(1, name.size() - 2).c_str(), &v6) == 1 &&
         IN6_IS_ADDR_LOOPBACK(&v6);
}

absl::StatusOr<std::vector<RegistryHost>> LoadRegistryHosts(
    const std::vector<std::string>& config_dirs, absl::string_view registry) {
  for (const std::string& root : config_dirs) {
    bool shared = false;
    const std::string directory = FindDirectory(root, registry, &shared);
    if (directory.empty()) continue;
    const std::string path = absl::StrCat(directory, "/hosts.toml");
    absl::StatusOr<std::string> text = ReadFile(path, kMaxHostsToml);
    if (text.ok() && !text->empty())
      return ParseHostsToml(*text, path, directory, registry, shared);
    if (!text.ok() && !absl::IsNotFound(text.status())) return text.status();
    CRISP_ASSIGN_OR_RETURN(RegistryHost host, HostWithCertificates(directory, registry));
    return std::vector<RegistryHost>{std::move(host)};
  }
  return std::vector<RegistryHost>{DefaultRegistryHost(registry)};
}

}  // namespace crisp::storage
