#include "runtime/paths/path_wire.h"

#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::runtime {
namespace {

void Append(std::string& out, size_t value) {
  const auto number = static_cast<uint32_t>(value);
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

bool Take(absl::string_view& in, uint32_t& value) {
  if (in.size() < sizeof(value)) return false;
  std::memcpy(&value, in.data(), sizeof(value));
  in.remove_prefix(sizeof(value));
  return true;
}

absl::Status Malformed() { return absl::InvalidArgumentError("paths: a message that is none"); }

}  // namespace

std::string EncodeStrings(const std::vector<std::string>& strings) {
  std::string out;
  Append(out, strings.size());
  for (const std::string& string : strings) {
    Append(out, string.size());
    out += string;
  }
  return out;
}

absl::StatusOr<std::vector<std::string>> DecodeStrings(absl::string_view frame) {
  uint32_t count = 0;
  if (!Take(frame, count) || count > frame.size() / sizeof(uint32_t)) return Malformed();
  std::vector<std::string> strings;
  strings.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t size = 0;
    if (!Take(frame, size) || size > frame.size()) return Malformed();
    strings.emplace_back(frame.substr(0, size));
    frame.remove_prefix(size);
  }
  if (!frame.empty()) return Malformed();
  return strings;
}

std::vector<std::string> EncodeRequests(const std::vector<PathRequest>& requests) {
  std::vector<std::string> strings;
  for (const PathRequest& request : requests) {
    strings.emplace_back(1, static_cast<char>(request.kind));
    strings.push_back(request.path);
    strings.push_back(request.argument);
  }
  return strings;
}

absl::StatusOr<std::vector<PathRequest>> DecodeRequests(const std::vector<std::string>& strings) {
  if (strings.size() % 3 != 0) return Malformed();
  std::vector<PathRequest> requests;
  for (size_t i = 0; i < strings.size(); i += 3) {
    if (strings[i].size() != 1) return Malformed();
    requests.push_back({.kind = static_cast<PathRequest::Kind>(strings[i][0]),
                        .path = strings[i + 1],
                        .argument = strings[i + 2]});
  }
  return requests;
}

std::string EncodeNodes(const std::vector<HostNode>& nodes) {
  std::vector<std::string> strings;
  for (const HostNode& node : nodes) {
    std::string numbers;
    for (const uint32_t number : {node.mode, node.major, node.minor, node.uid, node.gid}) {
      Append(numbers, number);
    }
    strings.push_back(numbers + node.name);
  }
  return EncodeStrings(strings);
}

absl::StatusOr<std::vector<HostNode>> DecodeNodes(absl::string_view bytes) {
  CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> strings, DecodeStrings(bytes));
  std::vector<HostNode> nodes;
  for (const std::string& string : strings) {
    absl::string_view rest = string;
    HostNode node;
    for (uint32_t* number : {&node.mode, &node.major, &node.minor, &node.uid, &node.gid}) {
      if (!Take(rest, *number)) return Malformed();
    }
    node.name = std::string(rest);
    nodes.push_back(std::move(node));
  }
  return nodes;
}

std::string EncodeOutcome(const absl::StatusOr<std::string>& outcome) {
  std::string bytes(1, static_cast<char>(outcome.status().code()));
  absl::StrAppend(&bytes, outcome.ok() ? absl::string_view(*outcome) : outcome.status().message());
  return bytes;
}

absl::StatusOr<std::string> DecodeOutcome(absl::string_view bytes) {
  if (bytes.empty()) return Malformed();
  const auto code = static_cast<absl::StatusCode>(bytes[0]);
  if (code == absl::StatusCode::kOk) return std::string(bytes.substr(1));
  return absl::Status(code, bytes.substr(1));
}

}  // namespace crisp::runtime
