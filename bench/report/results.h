#ifndef CRISP_BENCH_REPORT_RESULTS_H_
#define CRISP_BENCH_REPORT_RESULTS_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace crisp::bench {

using Json = nlohmann::json;

inline constexpr char kCrisp[] = "crisp";
inline constexpr char kKernel[] = "kernel";

// Restricts lines to those whose data has this value: {"/at", 110}.
using Where = std::pair<std::string, Json>;

struct Named {
  std::string contender;
  double value;
};

// The records of a run: lines of {"measure", "contender", "data"}. Paths are JSON pointers into the
// data. Where a measure was repeated, the median of its values counts.
class Results {
 public:
  // Ends the program when the file cannot be read.
  static Results Load(const std::string& path);

  std::optional<double> Get(const std::string& measure,
                            const std::string& contender,
                            const std::string& path,
                            const std::optional<Where>& where = {}) const;
  // The largest of the repetitions' values instead.
  std::optional<double> Worst(const std::string& measure,
                              const std::string& contender,
                              const std::string& path,
                              const std::optional<Where>& where = {}) const;
  // The best of those that are not crisp.
  std::optional<Named> BestPeer(const std::string& measure,
                                const std::string& path,
                                const std::optional<Where>& where = {},
                                bool high_is_good = false) const;
  // All contenders in the order of their first appearance. The kernel is not one.
  std::vector<std::string> Contenders() const;
  const Json& Versions() const { return versions_; }

 private:
  struct Line {
    std::string measure, contender;
    Json data;
  };
  std::vector<double> Values(const std::string& measure,
                             const std::string& contender,
                             const std::string& path,
                             const std::optional<Where>& where) const;
  std::vector<Line> lines_;
  Json versions_ = Json::object();
};

// "850 µs", "3.9 ms", "1.2 s"; "640 kB", "24 MB".
std::string Micros(double micros);
std::string Kilobytes(double kilobytes);
// A number with two or three significant digits.
std::string Number(double value);
// The name of a contender in tables and plots.
std::string Title(const std::string& contender);

}  // namespace crisp::bench

#endif  // CRISP_BENCH_REPORT_RESULTS_H_
