#ifndef CRISP_RUNTIME_WIRE_LOWER_TEXT_H_
#define CRISP_RUNTIME_WIRE_LOWER_TEXT_H_

#include <string.h>

namespace crisp::runtime {

// How a plan says what an overlay stands on: a directory as its path, a mount as "fd:<n>", the n-th
// of the descriptors that come with the plan. Here it is read, for both sides.
constexpr char kLowerFd[] = "fd:";
constexpr int kMaxLowerFd = 999;  // more than a message has

// The number of a mount; -1 for all else, which is a path.
inline int LowerNumber(const char* text) {
  constexpr size_t kPrefix = sizeof(kLowerFd) - 1;
  if (strncmp(text, kLowerFd, kPrefix) != 0) return -1;
  const char* digits = text + kPrefix;
  if (*digits == '0' && digits[1] != '\0') return -1;
  int number = -1;
  for (; *digits >= '0' && *digits <= '9'; ++digits) {
    number = (number < 0 ? 0 : number * 10) + (*digits - '0');
    if (number > kMaxLowerFd) return -1;
  }
  return *digits == '\0' ? number : -1;
}

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_WIRE_LOWER_TEXT_H_
