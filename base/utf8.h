#ifndef CRISP_BASE_UTF8_H_
#define CRISP_BASE_UTF8_H_

#include <string>

#include "absl/strings/string_view.h"

namespace crisp {

// True if the text is UTF-8 by RFC 3629: no overlong forms, no surrogates.
bool IsUtf8(absl::string_view text);

// The text with U+FFFD in place of each byte that belongs to no character.
std::string ReplaceInvalidUtf8(absl::string_view text);

// Bytes from outside as messages show them. Bytes that are not printable UTF-8 are escaped, and
// more than `most` bytes are cut.
std::string ShownBytes(absl::string_view bytes, size_t most = 200);

}  // namespace crisp

#endif  // CRISP_BASE_UTF8_H_
