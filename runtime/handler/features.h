#ifndef CRISP_RUNTIME_HANDLER_FEATURES_H_
#define CRISP_RUNTIME_HANDLER_FEATURES_H_

#include <cstdint>
#include <initializer_list>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace crisp::runtime {

// The verbs that not every runtime has. Each of them can create, start, signal, kill, delete and
// report a container.
enum class Verb : uint8_t { kExec, kAttach, kReopenLog, kPause, kUpdate, kStats };

class VerbSet {
 public:
  constexpr VerbSet() = default;
  constexpr VerbSet(std::initializer_list<Verb> verbs) {
    for (const Verb verb : verbs) bits_ |= Bit(verb);
  }
  static constexpr VerbSet All() {
    return {Verb::kExec,  Verb::kAttach, Verb::kReopenLog,
            Verb::kPause, Verb::kUpdate, Verb::kStats};
  }
  constexpr bool Has(Verb verb) const { return (bits_ & Bit(verb)) != 0; }
  constexpr VerbSet Without(Verb verb) const {
    VerbSet less = *this;
    less.bits_ &= ~Bit(verb);
    return less;
  }

 private:
  static constexpr uint32_t Bit(Verb verb) { return 1u << static_cast<uint32_t>(verb); }
  uint32_t bits_ = 0;
};

// The abilities of a runtime on this node.
struct Features {
  VerbSet verbs;
  bool recursive_read_only_mounts = false;
  // The reason why pods with a user namespace are refused. Empty if they are not.
  std::string no_user_namespaces;
};

// The verb in words that follow "cannot": "run commands in a container".
absl::string_view Words(Verb verb);
// Unimplemented. The message names the verb and the type of runtime that lacks it.
absl::Status Lacks(absl::string_view type, Verb verb);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_HANDLER_FEATURES_H_
