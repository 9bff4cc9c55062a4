#ifndef CRISP_CLI_NAMES_NEAREST_H_
#define CRISP_CLI_NAMES_NEAREST_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace crisp::cli {

// How many characters have to be added, dropped, replaced or swapped with their neighbour to make
// one out of the other.
size_t EditDistance(absl::string_view a, absl::string_view b);

// The candidate that a person may have meant by `word`: the one of least distance, the first among
// equals. Empty if none is near: more than a third of the word, and at least one character, may
// differ.
std::string Nearest(absl::string_view word, const std::vector<std::string>& candidates);

// ": did you mean NEAREST?", or empty if none is near.
std::string DidYouMean(absl::string_view word, const std::vector<std::string>& candidates);

}  // namespace crisp::cli

#endif  // CRISP_CLI_NAMES_NEAREST_H_
