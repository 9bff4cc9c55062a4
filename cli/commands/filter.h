#ifndef CRISP_CLI_COMMANDS_FILTER_H_
#define CRISP_CLI_COMMANDS_FILTER_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace crisp::cli {

// What --filter KEY=VALUE asks for. Values of the same key are alternatives; every key has to
// match.
class Filters {
 public:
  // InvalidArgument for what is no KEY=VALUE, and for a key that is not among `keys`.
  static absl::StatusOr<Filters> Parse(const std::vector<std::string>& texts,
                                       const std::vector<std::string>& keys);

  // True if no value of `key` was given, or `matches` says so of one of them.
  bool Match(const std::string& key,
             const std::function<bool(const std::string& value)>& matches) const;
  bool Has(const std::string& key) const { return values_.count(key) != 0; }

 private:
  std::map<std::string, std::vector<std::string>> values_;
};

// True if `labels` have "KEY", or "KEY=VALUE" with this value.
template <typename Labels>
bool HasLabel(const Labels& labels, const std::string& wanted) {
  const size_t equals = wanted.find('=');
  const auto found = labels.find(wanted.substr(0, equals));
  return found != labels.end() &&
         (equals == std::string::npos || found->second == wanted.substr(equals + 1));
}

}  // namespace crisp::cli

#endif  // CRISP_CLI_COMMANDS_FILTER_H_
