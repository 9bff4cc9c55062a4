#include "storage/registry/registry_blob.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "storage/registry/testing/registry_test_util.h"

namespace crisp::storage {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Request = HttpTestServer::Request;
using Response = HttpTestServer::Response;
using Code = absl::StatusCode;

// Bytes that differ everywhere, so that a gap or a repetition changes the hash.
std::string Noise(size_t size) {
  std::mt19937 random(42);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

class BlobTest : public RegistryFixture {
 protected:
  BlobTest() { image_ = FakeImage(Noise(300000)); }

  // The blob through one server, or through a mirror and then its upstream.
  absl::Status Fetch(const HttpTestServer& server, const Operation& operation = Soon()) {
    Configure("r.example", absl::StrCat("server = \"", server.url(), "\""));
    return FetchConfigured(operation);
  }
  absl::Status Fetch(const HttpTestServer& mirror, const HttpTestServer& upstream) {
    Configure("r.example",
              absl::StrCat("server = \"", upstream.url(), "\"\n[host.\"", mirror.url(), "\"]\n"));
    return FetchConfigured(Soon());
  }
  absl::Status FetchConfigured(const Operation& operation) {
    got_.clear();
    return Open("r.example/team/app:1")
        ->FetchBlob(
            image_.layer_descriptor,
            [this](absl::string_view bytes) {
              got_.append(bytes.data(), bytes.size());
              return absl::OkStatus();
            },
            operation);
  }

  std::string got_;
};

TEST_F(BlobTest, StreamsAndVerifies) {
  HttpTestServer server([&](const Request& request) { return Serve(image_, request); });
  EXPECT_OK(Fetch(server));
  EXPECT_EQ(got_, image_.layer);
}

TEST_F(BlobTest, ResumesWhereTheConnectionBroke) {
  HttpTestServer server([&](const Request& request) {
    Response response = Serve(image_, request);
    response.cut_after = 90000;
    return response;
  });
  EXPECT_OK(Fetch(server));
  EXPECT_EQ(got_, image_.layer);
  ASSERT_EQ(server.requests().size(), 4u);
  EXPECT_EQ(server.requests()[0].Header("range"), "");
  EXPECT_EQ(server.requests()[1].Header("range"), "bytes=90000-");
  EXPECT_EQ(server.requests()[3].Header("range"), "bytes=270000-");
}

TEST_F(BlobTest, ResumesOnTheNextHost) {
  std::atomic<int> calls = 0;
  HttpTestServer mirror([&](const Request& request) {
    if (calls++ > 0) return Response{.status = 404};
    Response response = Serve(image_, request);
    response.cut_after = 1000;
    return response;
  });
  HttpTestServer upstream([&](const Request& request) { return Serve(image_, request); });
  EXPECT_OK(Fetch(mirror, upstream));
  EXPECT_EQ(got_, image_.layer);
  ASSERT_EQ(upstream.requests().size(), 1u);
  EXPECT_EQ(upstream.requests()[0].Header("range"), "bytes=1000-");
}

TEST_F(BlobTest, DropsWhatAServerWithoutRangesRepeats) {
  std::atomic<int> calls = 0;
  HttpTestServer server([&](const Request&) {
    Response response{.body = image_.layer};
    if (calls++ == 0) response.cut_after = 100000;
    return response;
  });
  EXPECT_OK(Fetch(server));
  EXPECT_EQ(got_, image_.layer);
  EXPECT_EQ(server.requests().size(), 2u);
}

TEST_F(BlobTest, BoundsWhatIsReadTwice) {
  image_ = FakeImage(Noise(3 << 20));
  // Ignores ranges and breaks a little later every time: without a bound this reads O(n²) bytes.
  std::atomic<size_t> cut = 0;
  HttpTestServer mirror([&](const Request&) {
    cut += 200000;
    return Response{.body = image_.layer, .cut_after = cut.load()};
  });
  HttpTestServer upstream([&](const Request& request) { return Serve(image_, request); });
  EXPECT_OK(Fetch(mirror, upstream));
  EXPECT_EQ(got_, image_.layer);
  EXPECT_GE(mirror.requests().size(), 3u);
  EXPECT_LE(mirror.requests().size(), 8u);
  EXPECT_EQ(upstream.requests().size(), 1u);
}

TEST_F(BlobTest, RefusesAPartialReplyOfAnotherRange) {
  std::atomic<int> calls = 0;
  HttpTestServer server([&](const Request& request) {
    Response response = Serve(image_, request);
    if (calls++ == 0) {
      response.cut_after = 1000;
    } else {
      response.headers = {{"Content-Range", "bytes 200000-299999/300000"}};
      response.body = image_.layer.substr(200000);
    }
    return response;
  });
  EXPECT_THAT(Fetch(server), StatusIs(Code::kUnavailable, HasSubstr("not the range")));
  EXPECT_EQ(got_, image_.layer.substr(0, 1000));
}

TEST_F(BlobTest, AWrongDigestIsDataLoss) {
  HttpTestServer server([&](const Request&) {
    std::string body = image_.layer;
    body[77] ^= 1;
    return Response{.body = body};
  });
  EXPECT_THAT(Fetch(server), StatusIs(Code::kDataLoss, HasSubstr("hash to")));
}

TEST_F(BlobTest, AWrongLengthSendsItToTheNextHostBeforeAnyByte) {
  HttpTestServer mirror([&](const Request&) { return Response{.body = image_.layer + "x"}; });
  HttpTestServer upstream([&](const Request& request) { return Serve(image_, request); });
  EXPECT_OK(Fetch(mirror, upstream));
  EXPECT_EQ(got_, image_.layer);
  EXPECT_THAT(Fetch(mirror),
              StatusIs(Code::kDataLoss, HasSubstr("300001 bytes instead of 300000")));
  EXPECT_EQ(got_, "");
}

TEST_F(BlobTest, MoreBytesThanPromisedAreDataLoss) {
  HttpTestServer server([&](const Request&) {
    return Response{.body = image_.layer + "x", .announce_length = false};
  });
  EXPECT_THAT(Fetch(server), StatusIs(Code::kDataLoss, HasSubstr("more than")));
  EXPECT_LE(got_.size(), image_.layer.size());
}

TEST_F(BlobTest, AnEndThatComesTooSoonEveryTimeIsDataLoss) {
  HttpTestServer server([&](const Request& request) {
    if (!request.Header("range").empty()) {
      return Response{.status = 206,
                      .headers = {{"Content-Range", "bytes 1000-1000/300000"}},
                      .announce_length = false};
    }
    return Response{.body = image_.layer.substr(0, 1000), .announce_length = false};
  });
  EXPECT_THAT(Fetch(server), StatusIs(Code::kDataLoss, HasSubstr("ended after 1000 of 300000")));
}

TEST_F(BlobTest, AStallEndsInDeadlineExceededOrOnTheNextHost) {
  stall_ = absl::Milliseconds(200);
  HttpTestServer silent([&](const Request&) {
    return Response{.body = image_.layer, .cut_after = 5000, .hold = true};
  });
  HttpTestServer upstream([&](const Request& request) { return Serve(image_, request); });
  EXPECT_OK(Fetch(silent, upstream));
  EXPECT_EQ(got_, image_.layer);
  const absl::Time start = absl::Now();
  EXPECT_THAT(Fetch(silent), StatusIs(Code::kDeadlineExceeded, HasSubstr("stalled")));
  EXPECT_LT(absl::Now() - start, absl::Seconds(2));
}

TEST_F(BlobTest, ASlowSinkIsNoStall) {
  stall_ = absl::Milliseconds(150);
  HttpTestServer server([&](const Request& request) { return Serve(image_, request); });
  Configure("r.example", absl::StrCat("server = \"", server.url(), "\""));
  bool slept = false;
  EXPECT_OK(Open("r.example/team/app:1")
                ->FetchBlob(
                    image_.layer_descriptor,
                    [&](absl::string_view) {
                      if (!slept) absl::SleepFor(absl::Milliseconds(400));
                      slept = true;
                      return absl::OkStatus();
                    },
                    Soon()));
}

TEST_F(BlobTest, TheSinksErrorEndsItUnchanged) {
  HttpTestServer server([&](const Request& request) { return Serve(image_, request); });
  Configure("r.example", absl::StrCat("server = \"", server.url(), "\""));
  EXPECT_THAT(
      Open("r.example/team/app:1")
          ->FetchBlob(
              image_.layer_descriptor,
              [](absl::string_view) { return absl::ResourceExhaustedError("disk full"); }, Soon()),
      StatusIs(Code::kResourceExhausted, "disk full"));
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(BlobTest, ADeadlineEndsASilentBlobPromptly) {
  HttpTestServer silent([&](const Request&) {
    return Response{.body = image_.layer, .cut_after = 10, .hold = true};
  });
  const absl::Time deadline = absl::Now() + absl::Milliseconds(200);
  EXPECT_THAT(Fetch(silent, Operation(deadline)), StatusIs(Code::kDeadlineExceeded));
  EXPECT_LT(absl::Now() - deadline, absl::Milliseconds(50));
}

TEST_F(BlobTest, AnEmptyBlobIsVerifiedToo) {
  image_ = FakeImage("");
  HttpTestServer server([&](const Request& request) { return Serve(image_, request); });
  EXPECT_OK(Fetch(server));
}

TEST_F(BlobTest, FetchesInParallelOverOneSession) {
  HttpTestServer server([&](const Request& request) { return Serve(image_, request); });
  Configure("r.example", absl::StrCat("server = \"", server.url(), "\""));
  auto session = Open("r.example/team/app:1");
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      size_t seen = 0;
      const absl::Status status = session->FetchBlob(
          image_.layer_descriptor,
          [&seen](absl::string_view bytes) {
            seen += bytes.size();
            return absl::OkStatus();
          },
          Soon());
      if (status.ok() && seen == image_.layer.size()) ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 4);
}

TEST(ContentRangeTest, ReadsTheStart) {
  EXPECT_EQ(ContentRangeStart("bytes 10-19/20"), 10u);
  EXPECT_EQ(ContentRangeStart("bytes 0-1/*"), 0u);
  for (const char* bad :
       {"", "bytes */20", "bytes -5/20", "items 1-2/3", "bytes x-2/3", "bytes 1"}) {
    EXPECT_EQ(ContentRangeStart(bad), std::nullopt) << bad;
  }
}

TEST_F(BlobTest, AsksForAllWhereARangeIsRefusedAfterACut) {
  HttpTestServer server([&](const Request& request) {
    if (!request.Header("range").empty()) return Response{.status = 416};
    Response response = Serve(image_, request);
    static std::atomic<int> calls = 0;
    if (calls++ == 0) response.cut_after = 100000;
    return response;
  });
  EXPECT_OK(Fetch(server));
  EXPECT_EQ(got_, image_.layer);
}

TEST_F(BlobTest, SaysThatItIsSentEncoded) {
  HttpTestServer server([&](const Request& request) {
    EXPECT_EQ(request.Header("accept-encoding"), "identity");
    return Response{.headers = {{"Content-Encoding", "gzip"}}, .body = image_.layer + "and more"};
  });
  EXPECT_THAT(Fetch(server), StatusIs(Code::kUnavailable, HasSubstr("Content-Encoding: gzip")));
  // Some only call it so.
  HttpTestServer liar([&](const Request&) {
    return Response{.headers = {{"Content-Encoding", "gzip"}}, .body = image_.layer};
  });
  Configure("r.example", absl::StrCat("server = \"", liar.url(), "\""));
  EXPECT_OK(FetchConfigured(Soon()));
}

TEST_F(BlobTest, AForeignLayerIsWhereTheImageSays) {
  HttpTestServer elsewhere([&](const Request& request) {
    EXPECT_EQ(request.Header("authorization"), "");
    return request.path == "/layer" ? Response{.body = image_.layer} : Response{.status = 404};
  });
  HttpTestServer server([](const Request&) { return Response{.status = 404}; });
  image_.layer_descriptor.urls = {"file:///etc/passwd", elsewhere.url() + "/none",
                                  elsewhere.url() + "/layer"};
  EXPECT_OK(Fetch(server));
  EXPECT_EQ(got_, image_.layer);
  image_.layer_descriptor.urls.pop_back();
  EXPECT_THAT(FetchConfigured(Soon()),
              StatusIs(Code::kNotFound,
                       ::testing::AllOf(HasSubstr("no https URL"), HasSubstr("/none: HTTP 404"))));
  // Bytes are verified wherever they come from.
  image_.layer_descriptor.urls = {elsewhere.url() + "/layer"};
  image_.layer_descriptor.digest = Sha256Digest("other");
  EXPECT_THAT(FetchConfigured(Soon()), StatusIs(Code::kDataLoss));
}

TEST_F(BlobTest, AHostThatSentOtherBytesIsNotAskedAgain) {
  HttpTestServer liar([&](const Request& request) {
    Response response = Serve(image_, request);
    if (absl::StrContains(request.path, "/blobs/")) response.body.back() ^= 1;
    return response;
  });
  HttpTestServer server([&](const Request& request) { return Serve(image_, request); });
  Configure("r.example",
            absl::StrCat("server = \"", server.url(), "\"\n[host.\"", liar.url(), "\"]\n"));
  auto session = Open("r.example/team/app:1");
  const auto ignore = [](absl::string_view) { return absl::OkStatus(); };
  EXPECT_FALSE(session->Distrust(image_.layer_descriptor));  // nobody sent it yet
  EXPECT_THAT(session->FetchBlob(image_.layer_descriptor, ignore, Soon()),
              StatusIs(Code::kDataLoss));
  EXPECT_TRUE(session->Distrust(image_.layer_descriptor));
  EXPECT_OK(session->FetchBlob(image_.layer_descriptor, ignore, Soon()));
  EXPECT_FALSE(session->Distrust(image_.layer_descriptor));
  EXPECT_OK(session->Resolve(Soon()));  // the config, too
}

}  // namespace
}  // namespace crisp::storage
