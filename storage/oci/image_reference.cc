#include "storage/oci/image_reference.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "storage/oci/digest.h"

namespace crisp::storage {
namespace {

constexpr char kDefaultHost[] = "docker.io";
constexpr char kLegacyDefaultHost[] = "index.docker.io";
constexpr char kOfficialRepository[] = "library/";
constexpr char kDefaultTag[] = "latest";
constexpr size_t kMaxRepository = 255;
constexpr size_t kMaxHost = 253;
constexpr size_t kMaxTag = 128;
constexpr size_t kMaxText = 1024;

bool IsHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); });
}

bool IsLowerAlnum(char c) { return absl::ascii_isdigit(c) || absl::ascii_islower(c); }

// Runs of [a-z0-9]+ joined by ".", "_", "__" or any number of "-".
bool IsPathComponent(absl::string_view text) {
  size_t i = 0;
  while (true) {
    const size_t run = i;
    while (i < text.size() && IsLowerAlnum(text[i])) ++i;
    if (i == run) return false;
    if (i == text.size()) return true;
    const size_t separator = i;
    while (i < text.size() && text[i] == text[separator]) ++i;
    const size_t length = i - separator;
    const char c = text[separator];
    if (c != '-' && !(c == '.' && length == 1) && !(c == '_' && length <= 2)) return false;
  }
}

bool IsDomainName(absl::string_view text) {
  for (absl::string_view label : absl::StrSplit(text, '.')) {
    if (label.empty() || label.front() == '-' || label.back() == '-') return false;
    if (!std::all_of(label.begin(), label.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '-'; })) {
      return false;
    }
  }
  return true;
}

bool IsBracketedIp6(absl::string_view text) {
  return text.size() > 2 && text.front() == '[' && text.back() == ']' &&
         std::all_of(text.begin() + 1, text.end() - 1,
                     [](char c) { return absl::ascii_isxdigit(c) || c == ':'; });
}

bool IsPort(absl::string_view text) {
  int port = 0;
  return !text.empty() && text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(text, &port) && port > 0 && port <= 65535;
}

bool IsHost(absl::string_view text) {
  const size_t bracket = text.rfind(']');
  const size_t colon = text.find(':', bracket == absl::string_view::npos ? 0 : bracket);
  const absl::string_view name = text.substr(0, colon);
  if (colon != absl::string_view::npos && !IsPort(text.substr(colon + 1))) return false;
  return name.size() <= kMaxHost && (IsDomainName(name) || IsBracketedIp6(name));
}

bool IsTag(absl::string_view text) {
  if (text.empty() || text.size() > kMaxTag || text[0] == '.' || text[0] == '-') return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
  });
}

// True if the part before the first '/' names a host. If not, the repository is one on the default
// host.
bool LooksLikeHost(absl::string_view first) {
  return absl::StrContains(first, '.') || absl::StrContains(first, ':') || first == "localhost" ||
         std::any_of(first.begin(), first.end(), absl::ascii_isupper);
}

absl::Status Invalid(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("parse image reference \"", absl::CHexEscape(text.substr(0, 300)), "\": ", why));
}

// Splits "host/repository" and checks both.
absl::Status ParseName(absl::string_view text, absl::string_view name, ImageReference* out) {
  const size_t slash = name.find('/');
  const bool has_host = slash != absl::string_view::npos && LooksLikeHost(name.substr(0, slash));
  out->host = has_host ? std::string(name.substr(0, slash)) : kDefaultHost;
  if (out->host == kLegacyDefaultHost) out->host = kDefaultHost;
  out->repository = std::string(has_host ? name.substr(slash + 1) : name);
  if (!IsHost(out->host)) return Invalid(text, "bad registry host");
  if (out->host == kDefaultHost && !absl::StrContains(out->repository, '/')) {
    out->repository.insert(0, kOfficialRepository);
  }
  if (out->repository.size() > kMaxRepository) return Invalid(text, "repository is too long");
  for (absl::string_view component : absl::StrSplit(out->repository, '/')) {
    if (IsPathComponent(component)) continue;
    const bool upper = std::any_of(component.begin(), component.end(), absl::ascii_isupper);
    return Invalid(text, upper ? "repository must be lower case" : "bad repository name");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ImageReference> ImageReference::Parse(absl::string_view text) {
  if (text.empty()) return Invalid(text, "empty");
  if (text.size() > kMaxText) return Invalid(text, "too long");
  if (text.size() == 64 && IsHex(text)) return Invalid(text, "an image id is not a name");

  ImageReference reference;
  absl::string_view name = text;
  if (const size_t at = name.find('@'); at != absl::string_view::npos) {
    reference.digest = std::string(name.substr(at + 1));
    if (!IsDigest(reference.digest)) return Invalid(text, "bad digest");
    name = name.substr(0, at);
  }
  const size_t slash = name.rfind('/');
  const size_t colon = name.find(':', slash == absl::string_view::npos ? 0 : slash);
  if (colon != absl::string_view::npos) {
    reference.tag = std::string(name.substr(colon + 1));
    if (!IsTag(reference.tag)) return Invalid(text, "bad tag");
    name = name.substr(0, colon);
  } else if (reference.digest.empty()) {
    reference.tag = kDefaultTag;
  }
  CRISP_RETURN_IF_ERROR(ParseName(text, name, &reference));
  return reference;
}

std::string ImageReference::Name() const { return absl::StrCat(host, "/", repository); }

std::string ImageReference::RepoTag() const {
  return digest.empty() ? absl::StrCat(Name(), ":", tag) : "";
}

std::string ImageReference::RepoDigest(absl::string_view manifest_digest) const {
  return absl::StrCat(Name(), "@", manifest_digest);
}

std::string ImageReference::Canonical() const {
  return absl::StrCat(Name(), tag.empty() ? "" : ":", tag, digest.empty() ? "" : "@", digest);
}

std::string ImageReference::Familiar() const {
  absl::string_view name = repository;
  const bool official =
      absl::ConsumePrefix(&name, kOfficialRepository) && !absl::StrContains(name, '/');
  if (!official) name = repository;
  // A first component that reads as a host must keep the real host before it.
  const size_t slash = name.find('/');
  const bool ambiguous = slash != absl::string_view::npos && LooksLikeHost(name.substr(0, slash));
  if (host != kDefaultHost || ambiguous) return Canonical();
  return absl::StrCat(name, tag.empty() ? "" : ":", tag, digest.empty() ? "" : "@", digest);
}

}  // namespace crisp::storage
