#include "bench/floor/laps.h"

#include <cstring>
#include <map>

namespace crisp::bench {

void Laps::AddTo(Samples* samples) {
  std::map<std::string, double> parts;
  for (int i = 0; i < count_; ++i) {
    samples->Add(laps_[i].name, laps_[i].micros);
    parts[std::string(laps_[i].name, strcspn(laps_[i].name, "."))] += laps_[i].micros;
  }
  for (const char* part : {"pod", "create", "start", "exec", "end"}) {
    if (parts.contains(part)) samples->Add(std::string("= ") + part, parts[part]);
  }
  samples->Add("= pod+create+start", parts["pod"] + parts["create"] + parts["start"]);
}

}  // namespace crisp::bench
