#include <utility>

#include "absl/strings/ascii.h"
#include "storage/registry/registry_auth.h"

namespace crisp::storage {
namespace {

constexpr size_t kMaxHeader = 8192;
constexpr size_t kMaxChallenges = 16;
constexpr size_t kMaxParameters = 32;

bool IsTokenChar(char c) {
  return absl::ascii_isalnum(c) ||
         absl::string_view("!#$%&'*+-.^_`|~").find(c) != absl::string_view::npos;
}

// A cursor over the header; every step consumes something or says no.
class Scanner {
 public:
  explicit Scanner(absl::string_view text) : text_(text) {}

  bool AtEnd() const { return text_.empty(); }
  void Skip() { text_.remove_prefix(1); }
  // White space and the commas that separate list elements.
  void SkipSeparators() {
    while (!text_.empty() && (absl::ascii_isspace(text_[0]) || text_[0] == ',')) Skip();
  }
  void SkipSpace() {
    while (!text_.empty() && absl::ascii_isspace(text_[0])) Skip();
  }
  bool Take(char c) {
    if (text_.empty() || text_[0] != c) return false;
    Skip();
    return true;
  }
  std::string TakeToken() {
    size_t length = 0;
    while (length < text_.size() && IsTokenChar(text_[length])) ++length;
    std::string token(text_.substr(0, length));
    text_.remove_prefix(length);
    return token;
  }
  // The text between an opening quote and the closing one.
  bool TakeQuoted(std::string* value) {
    while (!text_.empty()) {
      const char c = text_[0];
      Skip();
      if (c == '"') return true;
      if (c == '\\') {
        if (text_.empty()) return false;
        value->push_back(text_[0]);
        Skip();
      } else {
        value->push_back(c);
      }
    }
    return false;
  }
  // True if '=' follows, with or without space before it. The token before it was a name then.
  bool TakeEquals() {
    Scanner ahead = *this;
    ahead.SkipSpace();
    if (!ahead.Take('=')) return false;
    *this = ahead;
    SkipSpace();
    return true;
  }

 private:
  absl::string_view text_;
};

}  // namespace

std::vector<AuthChallenge> ParseWwwAuthenticate(absl::string_view header) {
  std::vector<AuthChallenge> challenges;
  Scanner scanner(header.substr(0, kMaxHeader));
  for (scanner.SkipSeparators(); !scanner.AtEnd(); scanner.SkipSeparators()) {
    std::string word = absl::AsciiStrToLower(scanner.TakeToken());
    if (word.empty()) {
      scanner.Skip();  // stray punctuation
      continue;
    }
    if (!scanner.TakeEquals()) {
      if (challenges.size() == kMaxChallenges) break;
      challenges.push_back({.scheme = std::move(word)});
      continue;
    }
    std::string value;
    if (scanner.Take('"')) {
      if (!scanner.TakeQuoted(&value)) break;  // cut short: nothing after it can be trusted
    } else {
      value = scanner.TakeToken();
    }
    if (challenges.empty() || challenges.back().parameters.size() == kMaxParameters) continue;
    challenges.back().parameters.emplace(std::move(word), std::move(value));
  }
  return challenges;
}

}  // namespace crisp::storage
