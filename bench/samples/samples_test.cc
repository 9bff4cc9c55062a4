#include "bench/samples/samples.h"

#include <gtest/gtest.h>

namespace crisp::bench {
namespace {

TEST(SamplesTest, PercentilesAreOfTheValuesThemselves) {
  Samples samples;
  for (int i = 100; i >= 1; --i) samples.Add("step", i);
  const auto json = samples.ToJson();
  EXPECT_EQ(json["step"]["min"], 1);
  EXPECT_EQ(json["step"]["p50"], 51);
  EXPECT_EQ(json["step"]["p95"], 95);
  EXPECT_EQ(json["step"]["p99"], 99);
  EXPECT_EQ(json["step"]["max"], 100);
  EXPECT_EQ(json["step"]["n"], 100);
}

TEST(SamplesTest, OneValueIsEveryPercentile) {
  Samples samples;
  samples.Add("step", 7);
  EXPECT_EQ(samples.ToJson()["step"]["p99"], 7);
}

TEST(SamplesTest, StepsKeepTheirOrderAndMergeAddsValues) {
  Samples first, second;
  first.Add("z", 1);
  first.Add("a", 2);
  second.Add("a", 4);
  second.Add("m", 5);
  first.Merge(second);
  const auto json = first.ToJson();
  std::vector<std::string> steps;
  for (const auto& [step, values] : json.items()) steps.push_back(step);
  EXPECT_EQ(steps, (std::vector<std::string>{"z", "a", "m"}));
  EXPECT_EQ(json["a"]["n"], 2);
}

}  // namespace
}  // namespace crisp::bench
