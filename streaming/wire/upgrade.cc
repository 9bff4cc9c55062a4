#include "streaming/wire/upgrade.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace crisp::streaming {
namespace {

using Kind = SessionRequest::Kind;

constexpr Kind kKinds[] = {Kind::kExec, Kind::kAttach, Kind::kPortForward};
constexpr char kPortForward[] = "portforward.k8s.io";
constexpr char kTunnelledPortForward[] = "SPDY/3.1+portforward.k8s.io";
constexpr size_t kMaxToken = 64;

// The versions of the exec and attach protocol: what each added.
struct Version {
  const char* spdy;  // null: only over WebSockets
  const char* websocket;
  const char* base64;  // null: binary only
  bool status_json;
  bool resize;
  bool stdin_half_close;  // over SPDY
};
constexpr Version kVersions[] = {
    {nullptr, "v5.channel.k8s.io", nullptr, true, true, true},
    {"v4.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", true, true, true},
    {"v3.channel.k8s.io", "v3.channel.k8s.io", "v3.base64.channel.k8s.io", false, true, true},
    {"v2.channel.k8s.io", "v2.channel.k8s.io", "v2.base64.channel.k8s.io", false, false, true},
    {"channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io", false, false, false},
};

absl::Status NoneKnown(const std::vector<std::string>& offered) {
  return absl::PermissionDeniedError(
      absl::StrCat("none of the client's protocols is known: ", absl::StrJoin(offered, ", ")));
}

std::optional<WebSocketProtocol> FindExecProtocol(const std::string& name) {
  for (const Version& version : kVersions) {
    bool base64 = version.base64 != nullptr && name == version.base64;
    if (!base64 && name != version.websocket) continue;
    bool v5 = version.spdy == nullptr;
    // The channels are fixed, so every version has the one for resizing.
    return WebSocketProtocol{.name = name,
                             .traits = {.name = name,
                                        .status_json = version.status_json,
                                        .resize = true,
                                        .stdin_half_close = v5},
                             .base64 = base64,
                             .half_close = v5};
  }
  return std::nullopt;
}

std::optional<WebSocketProtocol> FindPortForwardProtocol(const std::string& name) {
  ProtocolTraits traits = {.name = name};
  if (name == kTunnelledPortForward) {
    return WebSocketProtocol{.name = name, .traits = traits, .tunnel = true};
  }
  if (name != "v4.channel.k8s.io" && name != "v4.base64.channel.k8s.io") return std::nullopt;
  traits.stdin_half_close = false;
  return WebSocketProtocol{
      .name = name, .traits = traits, .base64 = name == "v4.base64.channel.k8s.io"};
}

}  // namespace

absl::string_view PathOf(Kind kind) {
  switch (kind) {
    case Kind::kExec:
      return "exec";
    case Kind::kAttach:
      return "attach";
    case Kind::kPortForward:
      return "portforward";
  }
  return "";
}

std::optional<Target> ParseTarget(absl::string_view target) {
  target = target.substr(0, target.find_first_of("?#"));
  for (Kind kind : kKinds) {
    absl::string_view token = target;
    if (!absl::ConsumePrefix(&token, absl::StrCat("/", PathOf(kind), "/"))) continue;
    if (token.empty() || token.size() > kMaxToken || absl::StrContains(token, "/")) break;
    return Target{.kind = kind, .token = std::string(token)};
  }
  return std::nullopt;
}

std::vector<std::string> SplitList(const std::vector<std::string>& values) {
  std::vector<std::string> list;
  for (const std::string& value : values) {
    for (absl::string_view element : absl::StrSplit(value, ',')) {
      element = absl::StripAsciiWhitespace(element);
      if (!element.empty()) list.emplace_back(element);
    }
  }
  return list;
}

std::vector<std::string> SpdyProtocols(Kind kind) {
  if (kind == Kind::kPortForward) return {kPortForward};
  std::vector<std::string> names;
  for (const Version& version : kVersions) {
    if (version.spdy != nullptr) names.emplace_back(version.spdy);
  }
  return names;
}

absl::StatusOr<ProtocolTraits> NegotiateSpdy(Kind kind, const std::vector<std::string>& offered) {
  if (offered.empty()) {
    return absl::InvalidArgumentError("the client names no X-Stream-Protocol-Version");
  }
  for (const std::string& name : offered) {
    if (kind == Kind::kPortForward) {
      if (name == kPortForward) return ProtocolTraits{.name = name};
      continue;
    }
    for (const Version& version : kVersions) {
      if (version.spdy == nullptr || name != version.spdy) continue;
      return ProtocolTraits{.name = name,
                            .status_json = version.status_json,
                            .resize = version.resize,
                            .stdin_half_close = version.stdin_half_close};
    }
  }
  return NoneKnown(offered);
}

absl::StatusOr<WebSocketProtocol> NegotiateWebSocket(Kind kind,
                                                     const std::vector<std::string>& offered) {
  bool forwards = kind == Kind::kPortForward;
  if (offered.empty()) {
    std::string first = forwards ? "v4.channel.k8s.io" : "channel.k8s.io";
    WebSocketProtocol protocol =
        *(forwards ? FindPortForwardProtocol(first) : FindExecProtocol(first));
    protocol.name = "";
    return protocol;
  }
  for (const std::string& name : offered) {
    auto found = forwards ? FindPortForwardProtocol(name) : FindExecProtocol(name);
    if (found.has_value()) return *found;
  }
  return NoneKnown(offered);
}

}  // namespace crisp::streaming
