#include "storage/decompressor.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "base/status_matchers.h"
#include "storage/tar_builder.h"

namespace crisp::storage {
namespace {

absl::StatusOr<std::string> Inflate(const std::string& input,
                                    size_t step = 1000,
                                    DecompressLimits limits = {}) {
  std::string output;
  size_t at = 0;
  auto source = [&](char* buffer, size_t size) -> absl::StatusOr<size_t> {
    const size_t n = std::min({size, step, input.size() - at});
    memcpy(buffer, input.data() + at, n);
    at += n;
    return n;
  };
  auto sink = [&](absl::string_view bytes) {
    output.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  };
  absl::StatusOr<DecompressResult> result = Decompress(source, sink, limits);
  if (!result.ok()) return result.status();
  EXPECT_EQ(result->input_bytes, input.size());
  EXPECT_EQ(result->output_bytes, output.size());
  return output;
}

std::string Sample(size_t size) {
  std::mt19937 random(1);
  std::string text;
  while (text.size() < size) absl::StrAppend(&text, random() % 5000, " ");
  return text;
}

std::string ZstdFrame(const std::string& bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3));
  return out;
}

TEST(Decompressor, TellsFormatsByMagic) {
  const std::string sample = Sample(1 << 20);
  for (const size_t step : {1ul, 7ul, 65536ul, 10'000'000ul}) {
    if (step == 1) {
      EXPECT_EQ(*Inflate(Gzip("little"), step), "little");
      EXPECT_EQ(*Inflate(ZstdFrame("little"), step), "little");
      EXPECT_EQ(*Inflate("little", step), "little");
      continue;
    }
    EXPECT_EQ(*Inflate(Gzip(sample), step), sample);
    EXPECT_EQ(*Inflate(ZstdFrame(sample), step), sample);
    EXPECT_EQ(*Inflate(sample, step), sample);
  }
  EXPECT_EQ(*Inflate(""), "");
}

TEST(Decompressor, ReadsSeveralMembersAndPadding) {
  EXPECT_EQ(*Inflate(Gzip("one ") + Gzip("") + Gzip("two")), "one two");
  EXPECT_EQ(*Inflate(Gzip("one") + std::string(5000, '\0'), 3), "one");
  EXPECT_EQ(*Inflate(ZstdFrame("one ") + ZstdFrame("two")), "one two");
}

TEST(Decompressor, RefusesDamage) {
  const std::string gzip = Gzip(Sample(100'000));
  const std::string zstd = ZstdFrame(Sample(100'000));
  for (const size_t cut : {1ul, 4ul, 8ul, 100ul}) {
    EXPECT_THAT(Inflate(gzip.substr(0, gzip.size() - cut)), StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_THAT(Inflate(zstd.substr(0, zstd.size() - cut)), StatusIs(absl::StatusCode::kDataLoss));
  }
  std::string flipped = gzip;
  flipped[flipped.size() - 6] ^= 1;  // the checksum
  EXPECT_THAT(Inflate(flipped), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Inflate(gzip + "tail"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Inflate(zstd + "tail"), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(Decompressor, StopsBombs) {
  const std::string bomb = Gzip(std::string(10 << 20, '\0'));
  EXPECT_THAT(Inflate(bomb, 1000, {.max_output = 1 << 20}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(Inflate(bomb, 1000, {.max_ratio = 100, .ratio_floor = 1 << 20}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_OK(Inflate(bomb));
}

}  // namespace
}  // namespace crisp::storage
