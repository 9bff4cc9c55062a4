#include "cli/commands/filter.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace crisp::cli {

absl::StatusOr<Filters> Filters::Parse(const std::vector<std::string>& texts,
                                       const std::vector<std::string>& keys) {
  Filters filters;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    const std::string key = text.substr(0, equals);
    if (equals == std::string::npos || std::find(keys.begin(), keys.end(), key) == keys.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--filter ", text, ": it must be KEY=VALUE; the keys are ", absl::StrJoin(keys, ", ")));
    }
    filters.values_[key].push_back(text.substr(equals + 1));
  }
  return filters;
}

bool Filters::Match(const std::string& key,
                    const std::function<bool(const std::string& value)>& matches) const {
  const auto values = values_.find(key);
  return values == values_.end() ||
         std::any_of(values->second.begin(), values->second.end(), matches);
}

}  // namespace crisp::cli
