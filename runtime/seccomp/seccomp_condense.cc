#include "runtime/seccomp/seccomp_condense.h"

#include <linux/seccomp.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace crisp::runtime {
namespace {

constexpr uint32_t kNumberAt = offsetof(seccomp_data, nr);
constexpr uint32_t kArchAt = offsetof(seccomp_data, arch);
constexpr uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS;

// The end of a number's path: a verdict, or the instruction that first looks at something else.
struct Outcome {
  bool verdict = false;
  uint32_t value = 0;  // the verdict, or the instruction's index
  auto operator<=>(const Outcome&) const = default;
};
// The first number of each run and where the run leads.
using Runs = std::vector<std::pair<uint32_t, Outcome>>;

std::vector<size_t> Successors(const std::vector<sock_filter>& program, size_t pc) {
  const sock_filter& i = program[pc];
  if (BPF_CLASS(i.code) != BPF_JMP) return {pc + 1};
  if (BPF_OP(i.code) == BPF_JA) return {pc + 1 + i.k};
  return {pc + 1 + i.jt, pc + 1 + i.jf};
}

class Reader {
 public:
  explicit Reader(const std::vector<sock_filter>& program) : program_(program) {
    edges_.insert(0);
    for (const sock_filter& i : program_) {
      if (BPF_CLASS(i.code) != BPF_JMP || BPF_OP(i.code) == BPF_JA) continue;
      edges_.insert(i.k);
      if (i.k != UINT32_MAX) edges_.insert(i.k + 1);
    }
  }

  // By architecture, and under the key that none of them has for all others. Empty: not understood.
  std::map<std::optional<uint32_t>, Runs> Read() {
    std::map<std::optional<uint32_t>, Runs> all;
    std::vector<std::optional<uint32_t>> todo = {std::nullopt};
    while (!todo.empty()) {
      const std::optional<uint32_t> arch = todo.back();
      todo.pop_back();
      if (all.contains(arch)) continue;
      Runs& runs = all[arch];
      for (const uint32_t number : edges_) {
        const std::optional<Outcome> outcome = Follow(arch, number);
        if (!outcome.has_value()) return {};
        if (runs.empty() || runs.back().second != *outcome) runs.emplace_back(number, *outcome);
      }
      for (const uint32_t known : archs_) todo.emplace_back(known);
    }
    return all;
  }

 private:
  // All numbers between two edges take the same way.
  std::optional<Outcome> Follow(std::optional<uint32_t> arch, uint32_t number) {
    enum { kNothing, kNumber, kArch } loaded = kNothing;
    for (size_t pc = 0; pc < program_.size(); ++pc) {
      const sock_filter& i = program_[pc];
      if (i.code == kLoad) {
        if (i.k != kNumberAt && i.k != kArchAt) return Outcome{false, static_cast<uint32_t>(pc)};
        loaded = i.k == kNumberAt ? kNumber : kArch;
      } else if (i.code == (BPF_RET | BPF_K)) {
        return Outcome{true, i.k};
      } else if (i.code == (BPF_JMP | BPF_JA)) {
        pc += i.k;
      } else if (loaded == kArch && i.code == (BPF_JMP | BPF_JEQ | BPF_K)) {
        archs_.insert(i.k);
        pc += arch == i.k ? i.jt : i.jf;
      } else if (loaded == kNumber && IsComparison(i.code)) {
        pc += Holds(i, number) ? i.jt : i.jf;
      } else {
        return std::nullopt;
      }
    }
    return std::nullopt;
  }

  static bool IsComparison(uint16_t code) {
    return code == (BPF_JMP | BPF_JEQ | BPF_K) || code == (BPF_JMP | BPF_JGT | BPF_K) ||
           code == (BPF_JMP | BPF_JGE | BPF_K);
  }
  static bool Holds(const sock_filter& i, uint32_t number) {
    if (BPF_OP(i.code) == BPF_JEQ) return number == i.k;
    return BPF_OP(i.code) == BPF_JGT ? number > i.k : number >= i.k;
  }

  const std::vector<sock_filter>& program_;
  std::set<uint32_t> edges_, archs_;
};

// Builds from the last instruction to the first, since all jumps lead forward. A label is the place
// of an instruction as counted from the end.
class Writer {
 public:
  explicit Writer(const std::vector<sock_filter>& program) : program_(program) {}

  // The parts of the program that are reached from these instructions.
  void Keep(const std::set<uint32_t>& entries) {
    std::vector<bool> wanted(program_.size());
    for (const uint32_t entry : entries) wanted[entry] = true;
    for (size_t pc = 0; pc < program_.size(); ++pc) {
      const sock_filter& i = program_[pc];
      if (!wanted[pc] || BPF_CLASS(i.code) == BPF_RET) continue;
      for (const size_t next : Successors(program_, pc)) wanted[next] = true;
    }
    for (size_t pc = program_.size(); pc-- > 0;) {
      if (!wanted[pc]) continue;
      sock_filter i = program_[pc];
      const auto distance = [&](size_t to) {
        return static_cast<uint32_t>(code_.size() - 1 - kept_.at(to));
      };
      if (i.code == (BPF_JMP | BPF_JA)) {
        i.k = distance(pc + 1 + i.k);
      } else if (BPF_CLASS(i.code) == BPF_JMP) {
        // Nothing has come between, so they are no longer than they were.
        i.jt = static_cast<uint8_t>(distance(pc + 1 + i.jt));
        i.jf = static_cast<uint8_t>(distance(pc + 1 + i.jf));
      }
      kept_[pc] = Push(i);
    }
  }

  size_t Search(const Runs& runs) {
    const size_t tree = Node(runs, 0, runs.size());
    if (tree != code_.size() - 1) Jump(tree);
    return Push({kLoad, 0, 0, kNumberAt});
  }

  size_t Branch(uint16_t comparison, uint32_t k, size_t yes, size_t no) {
    // Each may cost the other one place.
    yes = Near(yes, 2);
    no = Near(no, 1);
    const auto distance = [&](size_t label) {
      return static_cast<uint8_t>(code_.size() - 1 - label);
    };
    return Push(
        {static_cast<uint16_t>(BPF_JMP | comparison | BPF_K), distance(yes), distance(no), k});
  }

  void LoadArch(size_t next) {
    if (next != code_.size() - 1) Jump(next);
    Push({kLoad, 0, 0, kArchAt});
  }

  std::vector<sock_filter> Take() { return {code_.rbegin(), code_.rend()}; }

 private:
  size_t Push(const sock_filter& instruction) {
    code_.push_back(instruction);
    return code_.size() - 1;
  }
  size_t Jump(size_t label) {
    return Push({BPF_JMP | BPF_JA, 0, 0, static_cast<uint32_t>(code_.size() - 1 - label)});
  }
  // The same place, from within the reach of a comparison that comes at most `later` instructions
  // on.
  size_t Near(size_t label, size_t later) {
    return code_.size() - 1 - label + later <= UINT8_MAX ? label : Jump(label);
  }

  size_t Leaf(const Outcome& outcome) {
    const auto last = leaves_.find(outcome);
    if (last != leaves_.end() && code_.size() - last->second < kLeafReach) return last->second;
    return leaves_[outcome] = outcome.verdict ? Push({BPF_RET | BPF_K, 0, 0, outcome.value})
                                              : Jump(kept_.at(outcome.value));
  }

  size_t Node(const Runs& runs, size_t from, size_t to) {
    if (to - from == 1) return Leaf(runs[from].second);
    const size_t middle = from + (to - from) / 2;
    const size_t right = Node(runs, middle, to);
    const size_t left = Node(runs, from, middle);
    return Branch(BPF_JGE, runs[middle].first, right, left);
  }

  static constexpr size_t kLeafReach = 128;  // half of a comparison's: the others are on the way
  const std::vector<sock_filter>& program_;
  std::vector<sock_filter> code_;     // backwards
  std::map<size_t, size_t> kept_;     // index in the program to label
  std::map<Outcome, size_t> leaves_;  // to the label of the last one
};

bool IsJump(uint16_t code) {
  if (code == (BPF_JMP | BPF_JA)) return true;
  const uint16_t known = BPF_CLASS(code) | BPF_OP(code) | BPF_SRC(code);
  const uint16_t op = BPF_OP(code);
  return code == known && (op == BPF_JEQ || op == BPF_JGT || op == BPF_JGE || op == BPF_JSET);
}

// Nothing leads out of it, and what jumps does so in a known way.
bool IsWhole(const std::vector<sock_filter>& program) {
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const uint16_t code = program[pc].code;
    if (BPF_CLASS(code) == BPF_RET) continue;
    if (BPF_CLASS(code) == BPF_JMP && !IsJump(code)) return false;
    for (const size_t next : Successors(program, pc)) {
      if (next >= program.size()) return false;
    }
  }
  return !program.empty();
}

}  // namespace

std::vector<sock_filter> CondenseFilter(const std::vector<sock_filter>& program) {
  if (!IsWhole(program)) return program;
  const auto runs_by_arch = Reader(program).Read();
  if (runs_by_arch.empty()) return program;
  std::set<uint32_t> entries;
  for (const auto& [arch, runs] : runs_by_arch) {
    for (const auto& [number, outcome] : runs) {
      if (!outcome.verdict) entries.insert(outcome.value);
    }
  }
  Writer writer(program);
  writer.Keep(entries);
  std::map<Runs, size_t> searches;
  for (const auto& [arch, runs] : runs_by_arch) {
    if (!searches.contains(runs)) searches[runs] = writer.Search(runs);
  }
  size_t next = searches.at(runs_by_arch.at(std::nullopt));
  for (const auto& [arch, runs] : runs_by_arch) {
    if (arch.has_value()) next = writer.Branch(BPF_JEQ, *arch, searches.at(runs), next);
  }
  writer.LoadArch(next);
  std::vector<sock_filter> condensed = writer.Take();
  return condensed.size() < program.size() ? condensed : program;
}

}  // namespace crisp::runtime
