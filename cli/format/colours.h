#ifndef CRISP_CLI_FORMAT_COLOURS_H_
#define CRISP_CLI_FORMAT_COLOURS_H_

#include <string>

#include "absl/strings/str_cat.h"

namespace crisp::cli {

enum class Tint { kNone, kGood, kWarning, kBad, kFaint };

// Colours for a terminal, or none.
class Colours {
 public:
  Colours() = default;
  explicit Colours(bool on) : on_(on) {}

  std::string operator()(Tint tint, const std::string& text) const {
    if (!on_ || tint == Tint::kNone || text.empty()) return text;
    return absl::StrCat("\x1b[", Code(tint), "m", text, "\x1b[0m");
  }
  bool on() const { return on_; }

 private:
  static const char* Code(Tint tint) {
    switch (tint) {
      case Tint::kGood:
        return "32";
      case Tint::kWarning:
        return "33";
      case Tint::kBad:
        return "31";
      case Tint::kFaint:
        return "2";
      case Tint::kNone:
        break;
    }
    return "0";
  }

  bool on_ = false;
};

// Colours are for terminals, and NO_COLOR (whatever its value, unless it is empty) forbids them.
inline bool WantsColours(bool terminal, const char* no_color, const char* term) {
  return terminal && (no_color == nullptr || no_color[0] == '\0') &&
         (term == nullptr || std::string(term) != "dumb");
}

}  // namespace crisp::cli

#endif  // CRISP_CLI_FORMAT_COLOURS_H_
