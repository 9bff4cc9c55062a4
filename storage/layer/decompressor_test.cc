#include "storage/layer/decompressor.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>

#include "base/testing/status_matchers.h"
#include "storage/layer/testing/byte_source.h"
#include "storage/layer/testing/tar_builder.h"

namespace crisp::storage {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::string> Inflate(const std::string& input,
                                    size_t step = 1000,
                                    DecompressLimits limits = {}) {
  std::string output;
  auto sink = [&](absl::string_view bytes) {
    output.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  };
  absl::StatusOr<DecompressResult> result = Decompress(FromBytes(input, step), sink, limits);
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
  EXPECT_OK(Inflate(bomb));
}

// A frame with a window of this many bits, which does not say how long its content is.
std::string WideZstdFrame(const std::string& bytes, int window_log) {
  const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(),
                                                                   ZSTD_freeCCtx);
  (void)ZSTD_CCtx_setParameter(context.get(), ZSTD_c_windowLog, window_log);
  std::string out(ZSTD_compressBound(bytes.size()) + 64, '\0');
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  ZSTD_outBuffer buffer{out.data(), out.size(), 0};
  while (in.pos < in.size) ZSTD_compressStream2(context.get(), &buffer, &in, ZSTD_e_continue);
  while (ZSTD_compressStream2(context.get(), &buffer, &in, ZSTD_e_end) != 0) {
  }
  out.resize(buffer.pos);
  return out;
}

// A lot out of a little is no crime: files of zeros are common.
TEST(Decompressor, HasNoRatio) {
  uint64_t out = 0;
  const std::string zeros = ZstdFrame(std::string(512 << 20, '\0'));
  size_t at = 0;
  const auto source = [&](char* buffer, size_t size) -> absl::StatusOr<size_t> {
    // The frame again and again.
    if (at == 10 * zeros.size()) return size_t{0};
    const size_t n = std::min(size, zeros.size() - at % zeros.size());
    memcpy(buffer, zeros.data() + at % zeros.size(), n);
    at += n;
    return n;
  };
  const auto count = [&](absl::string_view bytes) {
    out += bytes.size();
    return absl::OkStatus();
  };
  ASSERT_OK(Decompress(source, count).status());
  EXPECT_EQ(out, uint64_t{5} << 30);
  EXPECT_GT(out / at, 10'000u);
}

TEST(Decompressor, TakesWindowsUpToItsMemory) {
  const std::string sample = Sample(1 << 20);
  const std::string wide = WideZstdFrame(sample, 29);
  EXPECT_THAT(Inflate(wide), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("128 MiB")));
  EXPECT_EQ(*Inflate(wide, 1000, {.max_window = uint64_t{512} << 20}), sample);
  EXPECT_EQ(*Inflate(WideZstdFrame(sample, 31), 1000, {.max_window = uint64_t{2} << 30}), sample);
}

TEST(Decompressor, NamesFormatsThatItDoesNotRead) {
  const std::string tail(20, 'x');
  EXPECT_THAT(Inflate(absl::StrCat(absl::string_view("\xfd"
                                                     "7zXZ\0",
                                                     6),
                                   tail)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("xz -dc")));
  EXPECT_THAT(Inflate("BZh91AY&SY" + tail),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bzip2 -dc")));
  EXPECT_OK(Inflate("BZhang" + tail));
  std::string gzip = Gzip(Sample(1000));
  gzip[gzip.size() - 6] ^= 1;
  EXPECT_THAT(Inflate(gzip), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("checksum")));
}

}  // namespace
}  // namespace crisp::storage
