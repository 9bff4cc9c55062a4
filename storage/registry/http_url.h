#ifndef CRISP_STORAGE_REGISTRY_HTTP_URL_H_
#define CRISP_STORAGE_REGISTRY_HTTP_URL_H_

#include <string>

#include "absl/strings/string_view.h"

namespace crisp::storage {

// URLs in configuration, in Location headers and in error texts. libcurl parses them. Thread-safe.
// Only http and https count as URLs.

// Any text, with user names, passwords, queries and fragments taken out of the URLs in it.
std::string ScrubUrls(absl::string_view text);

// "scheme://host:port" in lower case, with the port always spelled out. Empty if the text is not a
// URL.
std::string UrlOrigin(const std::string& url);

// "host" or "host:port" as written. Empty if the text is not a URL.
std::string UrlHost(const std::string& url);

// `location` as seen from `base`. Empty if the result is not a URL.
std::string ResolveUrl(const std::string& base, const std::string& location);

// Percent-encodes everything but unreserved characters.
std::string UrlEscape(absl::string_view text);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_REGISTRY_HTTP_URL_H_
