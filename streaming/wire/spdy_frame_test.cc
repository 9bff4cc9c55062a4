#include "streaming/wire/spdy_frame.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <vector>

#include "base/testing/status_matchers.h"

namespace crisp::streaming {
namespace {

// A control frame as a hostile client could write it.
std::string Control(uint16_t type, uint32_t flags_and_length, absl::string_view payload) {
  std::string out = {'\x80', 3, static_cast<char>(type >> 8), static_cast<char>(type)};
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(flags_and_length >> shift));
  }
  return out.append(payload.data(), payload.size());
}

// The frame that `bytes` give, or the error.
absl::StatusOr<bool> DecodeOne(absl::string_view bytes, SpdyFrame& frame) {
  SpdyDecoder decoder;
  decoder.Feed(bytes);
  return decoder.Next(frame);
}

TEST(SpdyFrameTest, TheDictionaryIsTheProtocols) {
  absl::string_view dictionary = SpdyDictionary();
  ASSERT_EQ(dictionary.size(), 1423u);
  EXPECT_EQ(adler32(adler32(0, nullptr, 0), reinterpret_cast<const Bytef*>(dictionary.data()),
                    static_cast<uInt>(dictionary.size())),
            0xe3c6a7c2u);
}

TEST(SpdyFrameTest, HeaderBlocksShareOneCompressor) {
  SpdyEncoder encoder;
  std::string first, second;
  Headers headers = {{"streamtype", "stdout"}, {"port", "8080"}};
  encoder.AppendHeaders(SpdyType::kSynStream, 1, false, headers, first);
  encoder.AppendHeaders(SpdyType::kSynStream, 3, true, headers, second);
  EXPECT_LT(second.size(), first.size());

  SpdyDecoder decoder;
  SpdyFrame frame;
  for (char byte : first + second.substr(0, second.size() - 1)) {
    decoder.Feed(absl::string_view(&byte, 1));
    ASSERT_OK_AND_ASSIGN(bool got, decoder.Next(frame));
    if (!got) continue;
    EXPECT_EQ(frame.stream_id, 1u);
    EXPECT_FALSE(frame.fin);
    EXPECT_EQ(frame.headers, headers);
  }
  decoder.Feed(absl::string_view(second).substr(second.size() - 1));
  ASSERT_OK_AND_ASSIGN(bool got, decoder.Next(frame));
  ASSERT_TRUE(got);
  EXPECT_EQ(frame.stream_id, 3u);
  EXPECT_TRUE(frame.fin);
  EXPECT_EQ(frame.headers, headers);
}

TEST(SpdyFrameTest, DataComesInPiecesAndEndsOnce) {
  std::string bytes;
  SpdyEncoder::AppendData(5, true, "hello", bytes);
  SpdyDecoder decoder;
  std::string seen;
  int ends = 0;
  for (char byte : bytes) {
    decoder.Feed(absl::string_view(&byte, 1));
    SpdyFrame frame;
    ASSERT_OK_AND_ASSIGN(bool got, decoder.Next(frame));
    if (!got) continue;
    EXPECT_EQ(frame.stream_id, 5u);
    seen.append(frame.data.data(), frame.data.size());
    ends += frame.fin;
  }
  EXPECT_EQ(seen, "hello");
  EXPECT_EQ(ends, 1);
}

TEST(SpdyFrameTest, AnEmptyDataFrameCanEndAStream) {
  std::string bytes;
  SpdyEncoder::AppendData(5, true, "", bytes);
  SpdyFrame frame;
  ASSERT_OK_AND_ASSIGN(bool got, DecodeOne(bytes, frame));
  ASSERT_TRUE(got);
  EXPECT_TRUE(frame.fin);
  EXPECT_TRUE(frame.data.empty());
}

TEST(SpdyFrameTest, ReadsTheFixedFrames) {
  std::string bytes;
  SpdyEncoder::AppendReset(7, SpdyReset::kCancel, bytes);
  SpdyEncoder::AppendPing(9, bytes);
  SpdyEncoder::AppendGoAway(11, bytes);
  SpdyEncoder::AppendWindowUpdate(13, 1000, bytes);
  SpdyEncoder::AppendInitialWindow(70000, bytes);
  SpdyDecoder decoder;
  decoder.Feed(bytes);
  std::vector<SpdyFrame> frames;
  SpdyFrame frame;
  while (decoder.Next(frame).value()) frames.push_back(frame);
  ASSERT_EQ(frames.size(), 5u);
  EXPECT_EQ(frames[0].stream_id, 7u);
  EXPECT_EQ(frames[0].value, 5u);
  EXPECT_EQ(frames[1].value, 9u);
  EXPECT_EQ(frames[2].stream_id, 11u);
  EXPECT_EQ(frames[3].value, 1000u);
  EXPECT_EQ(frames[4].initial_window, 70000u);
}

TEST(SpdyFrameTest, UnknownFramesAreSkipped) {
  std::string bytes = Control(77, 3, "abc") + Control(5, 0, "");
  SpdyEncoder::AppendPing(1, bytes);
  SpdyFrame frame;
  ASSERT_OK_AND_ASSIGN(bool got, DecodeOne(bytes, frame));
  ASSERT_TRUE(got);
  EXPECT_EQ(frame.type, SpdyType::kPing);
}

TEST(SpdyFrameTest, RefusesWhatBreaksTheProtocol) {
  const std::string ids(8, '\1');
  const std::string cases[] = {
      std::string("\x80\x02\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01", 12),  // version 2
      std::string(8, '\0'),                                                 // data of stream 0
      Control(1, 0xffffff, ""),                        // a control frame of 16 MiB
      Control(6, 5, "12345"),                          // a PING of five bytes
      Control(3, 4, "1234"),                           // RST_STREAM without a status
      Control(4, 4, std::string("\xff\xff\xff\xff")),  // SETTINGS that claims 2^32 entries
      Control(4, 12, std::string("\0\0\0\1\0\0\0\7\xff\xff\xff\xff", 12)),  // a window of 4 GiB
      Control(1, 14, std::string(14, '\1')),  // headers that are no zlib data
      Control(1, 9, std::string(9, '\1')),    // SYN_STREAM that is cut off
      Control(2, 4, std::string(4, '\0')),    // a reply for stream 0
  };
  for (const std::string& bytes : cases) {
    SpdyFrame frame;
    EXPECT_THAT(DecodeOne(bytes, frame), StatusIs(absl::StatusCode::kInvalidArgument))
        << "case " << (&bytes - cases);
  }
}

// Compresses any bytes as a SYN_STREAM's header block.
std::string SynStreamOf(std::string block) {
  z_stream deflate_stream{};
  EXPECT_EQ(deflateInit(&deflate_stream, 9), Z_OK);
  absl::string_view dictionary = SpdyDictionary();
  deflateSetDictionary(&deflate_stream, reinterpret_cast<const Bytef*>(dictionary.data()),
                       static_cast<uInt>(dictionary.size()));
  std::string packed(block.size() + 1024, '\0');
  deflate_stream.next_in = reinterpret_cast<Bytef*>(block.data());
  deflate_stream.avail_in = static_cast<uInt>(block.size());
  deflate_stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  deflate_stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&deflate_stream, Z_SYNC_FLUSH), Z_OK);
  packed.resize(packed.size() - deflate_stream.avail_out);
  deflateEnd(&deflate_stream);
  std::string payload("\0\0\0\1\0\0\0\0\0\0", 10);
  payload += packed;
  return Control(1, static_cast<uint32_t>(payload.size()), payload);
}

std::string Field(absl::string_view text) {
  std::string out = {0, 0, static_cast<char>(text.size() >> 8), static_cast<char>(text.size())};
  return out.append(text.data(), text.size());
}

TEST(SpdyFrameTest, HeaderBlocksAreChecked) {
  const std::string one("\0\0\0\1", 4), two("\0\0\0\2", 4);
  SpdyFrame frame;
  ASSERT_OK(DecodeOne(SynStreamOf(one + Field("Port") + Field(std::string("80\00081", 5))), frame));
  EXPECT_EQ(frame.headers, (Headers{{"port", "80"}}));
  const std::string cases[] = {
      std::string(1 << 20, 'x'),                                // unpacks to a megabyte
      two + Field("a") + Field("1") + Field("a") + Field("2"),  // the same name twice
      one + Field("") + Field("1"),                             // no name
      one + Field("a"),                                         // no value
      one + Field("a") + std::string("\xff\xff\xff\xff", 4),    // a value of 4 GiB
      one + Field("a") + Field("1") + "x",                      // bytes at the end
      std::string("\xff\xff\xff\xff", 4),                       // 2^32 headers
      std::string("\0\0", 2),                                   // not even a count
  };
  for (const std::string& block : cases) {
    EXPECT_THAT(DecodeOne(SynStreamOf(block), frame), StatusIs(absl::StatusCode::kInvalidArgument))
        << "case " << (&block - cases);
  }
}

}  // namespace
}  // namespace crisp::streaming
