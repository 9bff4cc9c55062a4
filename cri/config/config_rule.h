#ifndef CRISP_CRI_CONFIG_CONFIG_RULE_H_
#define CRISP_CRI_CONFIG_CONFIG_RULE_H_

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace crisp::cri {

// A rule for the value of a key, beyond its type. A value; config_schema.h makes one for each key.
struct Rule {
  enum class Kind {
    kAny,
    kBetween,
    kZeroOrBetween,
    kAtLeast,   // a duration of at least `least` seconds
    kPositive,  // a duration
    kOneOf,
    kPath,  // absolute, and not the root directory
    kPathOrNone,
    kAddress,  // HOST:PORT, or empty
    kInWords,  // described here; Config::Validate() checks it
  };
  Kind kind = Kind::kAny;
  int64_t least = 0, most = 0;
  std::array<const char*, 4> among = {};  // of kOneOf; null behind the last
  const char* words = "";                 // of kInWords
  const char* unit = "";                  // for the documentation

  constexpr Rule In(const char* of) const {
    Rule rule = *this;
    rule.unit = of;
    return rule;
  }
};

constexpr int64_t kNoMost = std::numeric_limits<int64_t>::max();

constexpr Rule Any() { return {}; }
constexpr Rule Between(int64_t least, int64_t most) {
  return {.kind = Rule::Kind::kBetween, .least = least, .most = most};
}
constexpr Rule ZeroOrBetween(int64_t least, int64_t most) {
  return {.kind = Rule::Kind::kZeroOrBetween, .least = least, .most = most};
}
constexpr Rule AtLeastSeconds(int64_t least) {
  return {.kind = Rule::Kind::kAtLeast, .least = least};
}
constexpr Rule LongerThanZero() { return {.kind = Rule::Kind::kPositive}; }
constexpr Rule OneOf(std::array<const char*, 4> among) {
  return {.kind = Rule::Kind::kOneOf, .among = among};
}
constexpr Rule Path() { return {.kind = Rule::Kind::kPath}; }
constexpr Rule PathOrNone() { return {.kind = Rule::Kind::kPathOrNone}; }
constexpr Rule AddressOrNone() { return {.kind = Rule::Kind::kAddress}; }
constexpr Rule InWords(const char* words) { return {.kind = Rule::Kind::kInWords, .words = words}; }

// Says how `value` breaks the rule, in words that follow the key's name; empty if it does not.
// Every item of a list must keep the rule.
std::string Broken(const Rule& rule, const std::string& value);
std::string Broken(const Rule& rule, int64_t value);
std::string Broken(const Rule& rule, absl::Duration value);
std::string Broken(const Rule& rule, const std::vector<std::string>& value);
inline std::string Broken(const Rule&, bool) { return ""; }

// "debug, info or warn".
std::string Choices(const Rule& rule);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONFIG_CONFIG_RULE_H_
