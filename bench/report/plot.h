#ifndef CRISP_BENCH_REPORT_PLOT_H_
#define CRISP_BENCH_REPORT_PLOT_H_

#include <string>
#include <vector>

namespace crisp::bench {

struct Bar {
  std::string contender;
  double value;
  std::string text;  // written at its end
};

struct BarGroup {
  std::string label;
  std::vector<Bar> bars;
};

struct Chart {
  std::string title;
  std::string note;  // under the title; says which direction is good
  std::vector<BarGroup> groups;
  bool logarithmic = false;
  std::string limit = "kernel's floor";  // what the kernel's bars are called
};

// Horizontal bars, a colour for each contender, as one SVG that needs nothing else.
std::string DrawBars(const Chart& chart);

}  // namespace crisp::bench

#endif  // CRISP_BENCH_REPORT_PLOT_H_
