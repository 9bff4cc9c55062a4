#include "base/utf8.h"

#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace crisp {
namespace {

// Bytes of the character that the text begins with; 0: it begins with none.
size_t CharacterSize(absl::string_view text) {
  const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  if (byte(0) < 0x80) return 1;
  const size_t more = byte(0) < 0xc2   ? 0
                      : byte(0) < 0xe0 ? 1
                      : byte(0) < 0xf0 ? 2
                      : byte(0) < 0xf5 ? 3
                                       : 0;
  if (more == 0 || text.size() <= more) return 0;
  uint32_t code = byte(0) & (0x3fu >> more);
  for (size_t i = 1; i <= more; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  const bool overlong = (more == 2 && code < 0x800) || (more == 3 && code < 0x10000);
  return overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : more + 1;
}

}  // namespace

bool IsUtf8(absl::string_view text) {
  while (!text.empty()) {
    const size_t size = CharacterSize(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

std::string ReplaceInvalidUtf8(absl::string_view text) {
  std::string sound;
  sound.reserve(text.size());
  while (!text.empty()) {
    const size_t size = CharacterSize(text);
    absl::StrAppend(&sound, size > 0 ? text.substr(0, size) : "\xef\xbf\xbd");
    text.remove_prefix(size > 0 ? size : 1);
  }
  return sound;
}

std::string ShownBytes(absl::string_view bytes, size_t most) {
  if (bytes.size() > most) {
    size_t end = most;  // not in the middle of a character
    while (end > 0 && most - end < 4 && (static_cast<unsigned char>(bytes[end]) & 0xc0) == 0x80)
      --end;
    bytes = bytes.substr(0, end);
  }
  return IsUtf8(bytes) ? absl::Utf8SafeCHexEscape(bytes) : absl::CHexEscape(bytes);
}

}  // namespace crisp
