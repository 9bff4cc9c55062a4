#include "storage/registry/http_url.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace crisp::storage {
namespace {

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, FreeUrl>;

// The part, or "" when there is none.
std::string Part(CURLU* url, CURLUPart part, unsigned int flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return "";
  std::string copy(text);
  curl_free(text);
  return copy;
}

bool Speakable(CURLU* url) {
  const std::string scheme = absl::AsciiStrToLower(Part(url, CURLUPART_SCHEME));
  return (scheme == "http" || scheme == "https") && !Part(url, CURLUPART_HOST).empty();
}

// Null when `text` is no http or https URL.
Url ParseUrl(const std::string& text) {
  Url url(curl_url());
  if (url == nullptr || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK ||
      !Speakable(url.get())) {
    return nullptr;
  }
  return url;
}

bool EndsUrl(char c) {
  return absl::ascii_isspace(c) || c == '"' || c == '\'' || c == '<' || c == '>' || c == '\\';
}

// One URL: scheme, host and path are kept.
std::string ScrubOne(absl::string_view url, size_t scheme_length) {
  absl::string_view rest = url.substr(scheme_length);
  rest = rest.substr(0, rest.find_first_of("?#"));
  const absl::string_view authority = rest.substr(0, rest.find('/'));
  if (const size_t at = authority.rfind('@'); at != absl::string_view::npos) {
    rest.remove_prefix(at + 1);
  }
  return absl::StrCat(url.substr(0, scheme_length), rest);
}

}  // namespace

std::string ScrubUrls(absl::string_view text) {
  std::string scrubbed;
  while (!text.empty()) {
    const size_t mark = text.find("://");
    if (mark == absl::string_view::npos) break;
    size_t start = mark;
    while (start > 0 && absl::ascii_isalnum(text[start - 1])) --start;
    const size_t end = std::find_if(text.begin() + mark, text.end(), EndsUrl) - text.begin();
    absl::StrAppend(&scrubbed, text.substr(0, start),
                    ScrubOne(text.substr(start, end - start), mark + 3 - start));
    text.remove_prefix(end);
  }
  return absl::StrCat(scrubbed, text);
}

std::string UrlOrigin(const std::string& text) {
  const Url url = ParseUrl(text);
  if (url == nullptr) return "";
  return absl::AsciiStrToLower(absl::StrCat(Part(url.get(), CURLUPART_SCHEME), "://",
                                            Part(url.get(), CURLUPART_HOST), ":",
                                            Part(url.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT)));
}

std::string UrlHost(const std::string& text) {
  const Url url = ParseUrl(text);
  if (url == nullptr) return "";
  const std::string port = Part(url.get(), CURLUPART_PORT);
  return absl::StrCat(Part(url.get(), CURLUPART_HOST), port.empty() ? "" : ":", port);
}

std::string ResolveUrl(const std::string& base, const std::string& location) {
  const Url url = ParseUrl(base);
  // Setting a URL over one that is there resolves it relatively.
  if (url == nullptr || location.empty() ||
      curl_url_set(url.get(), CURLUPART_URL, location.c_str(), CURLU_URLENCODE) != CURLUE_OK ||
      !Speakable(url.get())) {
    return "";
  }
  return Part(url.get(), CURLUPART_URL);
}

std::string UrlEscape(absl::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      escaped.push_back(c);
    } else {
      absl::StrAppend(&escaped, "%",
                      absl::AsciiStrToUpper(absl::BytesToHexString(absl::string_view(&c, 1))));
    }
  }
  return escaped;
}

}  // namespace crisp::storage
