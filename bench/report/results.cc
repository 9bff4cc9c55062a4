#include "bench/report/results.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>

namespace crisp::bench {

Results Results::Load(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    std::fprintf(stderr, "bench-report: cannot read %s\n", path.c_str());
    std::exit(1);
  }
  Results results;
  for (std::string text; std::getline(file, text);) {
    const Json line = Json::parse(text);
    if (line["measure"] == "versions") {
      results.versions_ = line["data"];
    } else {
      results.lines_.push_back({line["measure"], line["contender"], line["data"]});
    }
  }
  return results;
}

std::vector<double> Results::Values(const std::string& measure,
                                    const std::string& contender,
                                    const std::string& path,
                                    const std::optional<Where>& where) const {
  const Json::json_pointer pointer(path);
  std::vector<double> values;
  for (const Line& line : lines_) {
    if (line.measure != measure || line.contender != contender) continue;
    if (where) {
      const Json::json_pointer key(where->first);
      if (!line.data.contains(key) || line.data[key] != where->second) continue;
    }
    if (line.data.contains(pointer) && line.data[pointer].is_number()) {
      values.push_back(line.data[pointer].get<double>());
    }
  }
  std::sort(values.begin(), values.end());
  return values;
}

std::optional<double> Results::Get(const std::string& measure,
                                   const std::string& contender,
                                   const std::string& path,
                                   const std::optional<Where>& where) const {
  const std::vector<double> values = Values(measure, contender, path, where);
  if (values.empty()) return std::nullopt;
  const size_t middle = values.size() / 2;
  if (values.size() % 2 == 1) return values[middle];
  return (values[middle - 1] + values[middle]) / 2;
}

std::optional<double> Results::Worst(const std::string& measure,
                                     const std::string& contender,
                                     const std::string& path,
                                     const std::optional<Where>& where) const {
  const std::vector<double> values = Values(measure, contender, path, where);
  if (values.empty()) return std::nullopt;
  return values.back();
}

std::optional<Named> Results::BestPeer(const std::string& measure,
                                       const std::string& path,
                                       const std::optional<Where>& where,
                                       bool high_is_good) const {
  std::optional<Named> best;
  for (const std::string& contender : Contenders()) {
    if (contender.starts_with(kCrisp)) continue;  // in another configuration
    const std::optional<double> value = Get(measure, contender, path, where);
    if (!value) continue;
    if (!best || (high_is_good ? *value > best->value : *value < best->value)) {
      best = Named{contender, *value};
    }
  }
  return best;
}

std::vector<std::string> Results::Contenders() const {
  std::vector<std::string> all = {kCrisp};
  for (const Line& line : lines_) {
    if (line.contender != kKernel &&
        std::find(all.begin(), all.end(), line.contender) == all.end()) {
      all.push_back(line.contender);
    }
  }
  return all;
}

std::string Number(double value) {
  char text[32];
  const double size = std::fabs(value);
  const int digits = size >= 100 || value == std::round(value) ? 0
                     : size >= 10                              ? 1
                     : size >= 0.1                             ? 2
                                                               : 4;
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

std::string Micros(double micros) {
  if (micros < 1000) return Number(std::round(micros)) + " µs";
  if (micros < 1e6) return Number(micros / 1e3) + " ms";
  return Number(micros / 1e6) + " s";
}

std::string Kilobytes(double kilobytes) {
  if (kilobytes < 1000) return Number(kilobytes) + " kB";
  return Number(kilobytes / 1000) + " MB";
}

std::string Title(const std::string& contender) {
  static const std::map<std::string, std::string> kTitles = {
      {"containerd", "containerd 2 + runc"},
      {"crisp-erofs", "crisp, layers as images"},
      {"debian-crun", "Debian containerd + crun"},
      {"containerd-synced", "containerd 2 + runc, synced"},
      {"debian", "Debian containerd + runc"},
      {"kernel", "kernel's floor"},
  };
  const auto at = kTitles.find(contender);
  return at == kTitles.end() ? contender : at->second;
}

}  // namespace crisp::bench
