#include "bench/report/plot.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

#include "bench/report/results.h"

namespace crisp::bench {
namespace {

constexpr double kWidth = 760, kLeft = 170, kRight = 110, kTop = 84, kBar = 18, kGap = 16;

std::string Colour(const std::string& contender) {
  static const std::map<std::string, std::string> kColours = {
      {"crisp", "#0b8f6a"},       {"containerd", "#d1603d"},        {"crisp-erofs", "#5cc0a4"},
      {"debian-crun", "#e0a030"}, {"containerd-synced", "#a8452a"}, {"debian", "#8792a8"},
      {"kernel", "#3c4454"},
  };
  const auto at = kColours.find(contender);
  return at == kColours.end() ? "#b060b0" : at->second;
}

std::string Escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else {
      out += c;
    }
  }
  return out;
}

class Drawing {
 public:
  explicit Drawing(const Chart& chart) : chart_(chart) {
    double largest = 0, smallest = 1e300;
    for (const BarGroup& group : chart.groups) {
      for (const Bar& bar : group.bars) {
        largest = std::max(largest, bar.value);
        if (bar.value > 0) smallest = std::min(smallest, bar.value);
      }
    }
    low_ = chart.logarithmic ? std::floor(std::log10(smallest) - 0.1) : 0;
    high_ = chart.logarithmic ? std::log10(largest) : largest;
  }

  std::string Draw() {
    double y = kTop;
    for (const BarGroup& group : chart_.groups) y = DrawGroup(group, y) + kGap;
    std::ostringstream all;
    all << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << kWidth << " " << y
        << "\" width=\"" << kWidth << "\" height=\"" << y
        << "\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\">\n"
        << "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n";
    Put(&all, 16, 26, chart_.title, "font-size=\"17\" font-weight=\"bold\" fill=\"#1c2330\"");
    Put(&all, 16, 46, chart_.note, "fill=\"#5a6375\"");
    DrawLegend(&all);
    all << body_.str() << "</svg>\n";
    return all.str();
  }

 private:
  static void Put(std::ostringstream* out,
                  double x,
                  double y,
                  const std::string& text,
                  const std::string& attributes) {
    *out << "<text x=\"" << x << "\" y=\"" << y << "\" " << attributes << ">" << Escape(text)
         << "</text>\n";
  }

  double Length(double value) const {
    if (value <= 0) return 0;
    const double at = chart_.logarithmic ? std::log10(value) : value;
    return (kWidth - kLeft - kRight) * (at - low_) / std::max(high_ - low_, 1e-12);
  }

  double DrawGroup(const BarGroup& group, double y) {
    const double height = kBar * static_cast<double>(group.bars.size());
    Put(&body_, kLeft - 10, y + height / 2 + 5, group.label,
        "text-anchor=\"end\" fill=\"#1c2330\"");
    for (const Bar& bar : group.bars) {
      const double length = std::max(Length(bar.value), 1.5);
      body_ << "<rect x=\"" << kLeft << "\" y=\"" << y + 1 << "\" width=\"" << length
            << "\" height=\"" << kBar - 3 << "\" rx=\"2\" fill=\"" << Colour(bar.contender)
            << "\"/>\n";
      Put(&body_, kLeft + length + 6, y + kBar - 6, bar.text,
          std::string("font-size=\"12\" fill=\"#1c2330\"") +
              (bar.contender == kCrisp ? " font-weight=\"bold\"" : ""));
      y += kBar;
    }
    return y;
  }

  void DrawLegend(std::ostringstream* out) const {
    std::vector<std::string> shown;
    double x = 16;
    for (const BarGroup& group : chart_.groups) {
      for (const Bar& bar : group.bars) {
        if (std::find(shown.begin(), shown.end(), bar.contender) != shown.end()) continue;
        shown.push_back(bar.contender);
        *out << "<rect x=\"" << x << "\" y=\"58\" width=\"12\" height=\"12\" rx=\"2\" fill=\""
             << Colour(bar.contender) << "\"/>\n";
        const std::string title = bar.contender == kKernel ? chart_.limit : Title(bar.contender);
        Put(out, x + 17, 69, title, "font-size=\"12\" fill=\"#1c2330\"");
        x += 34 + 6.6 * static_cast<double>(title.size());
      }
    }
  }

  const Chart& chart_;
  double low_ = 0, high_ = 1;
  std::ostringstream body_;
};

}  // namespace

std::string DrawBars(const Chart& chart) { return Drawing(chart).Draw(); }

}  // namespace crisp::bench
