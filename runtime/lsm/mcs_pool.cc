#include "runtime/lsm/mcs_pool.h"

#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace crisp::runtime {
namespace {

constexpr int kTries = 64;

std::optional<int> Category(absl::string_view text) {
  int number = 0;
  if (!absl::ConsumePrefix(&text, "c") || !absl::SimpleAtoi(text, &number) || number < 0)
    return std::nullopt;
  return number;
}

// "s0:c1,c2" in either order, and "s0:c1.c2", which says the same of neighbours.
std::optional<std::pair<int, int>> ParsePair(absl::string_view level) {
  if (!absl::ConsumePrefix(&level, "s0:")) return std::nullopt;
  const bool range = level.find('.') != absl::string_view::npos;
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(level, absl::MaxSplits(range ? '.' : ',', 1));
  const std::optional<int> first = Category(halves.first), second = Category(halves.second);
  if (!first.has_value() || !second.has_value() || *first == *second) return std::nullopt;
  if (range && *second != *first + 1) return std::nullopt;
  return std::minmax(*first, *second);
}

std::string ToLevel(std::pair<int, int> pair) {
  return absl::StrCat("s0:c", pair.first, ",c", pair.second);
}

}  // namespace

absl::StatusOr<std::string> McsPool::Allocate() {
  absl::MutexLock lock(&mutex_);
  const auto take = [this](Pair pair) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return holders_.try_emplace(pair, 1).second;
  };
  std::uniform_int_distribution<int> category(0, categories_ - 1);
  for (int i = 0; i < kTries; ++i) {
    const int first = category(random_), second = category(random_);
    if (first == second) continue;
    const Pair pair = std::minmax(first, second);
    if (take(pair)) return ToLevel(pair);
  }
  // Nearly full: in order.
  for (int first = 0; first < categories_; ++first) {
    for (int second = first + 1; second < categories_; ++second) {
      if (take({first, second})) return ToLevel({first, second});
    }
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("selinux: all pairs of ", categories_, " categories are taken"));
}

void McsPool::Reserve(absl::string_view level) {
  const std::optional<Pair> pair = ParsePair(level);
  if (!pair.has_value()) return;
  absl::MutexLock lock(&mutex_);
  ++holders_[*pair];
}

void McsPool::Release(absl::string_view level) {
  const std::optional<Pair> pair = ParsePair(level);
  if (!pair.has_value()) return;
  absl::MutexLock lock(&mutex_);
  const auto it = holders_.find(*pair);
  if (it != holders_.end() && --it->second == 0) holders_.erase(it);
}

int McsPool::taken() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int>(holders_.size());
}

}  // namespace crisp::runtime
