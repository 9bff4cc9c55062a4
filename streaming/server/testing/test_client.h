#ifndef CRISP_STREAMING_SERVER_TESTING_TEST_CLIENT_H_
#define CRISP_STREAMING_SERVER_TESTING_TEST_CLIENT_H_

#include <chrono>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "streaming/wire/spdy_frame.h"

namespace crisp::streaming {

// For tests: a blocking client on a loopback socket, which can misbehave in any way. Every wait
// ends after kPatience with an error.
class TestClient {
 public:
  static constexpr std::chrono::seconds kPatience{10};

  explicit TestClient(int port);

  bool Send(absl::string_view bytes);
  // Reads what has come, at least one byte; "" at the end of the connection. Unavailable after a
  // reset, DeadlineExceeded when nothing came.
  absl::StatusOr<std::string> Receive();
  // Reads the head of the answer. Receive() gives what follows it.
  absl::StatusOr<std::string> ReceiveHead();
  // Sends a request for `url_path` with these header lines and gives the answer's head.
  absl::StatusOr<std::string> Request(const std::string& url_path,
                                      const std::string& lines,
                                      const std::string& method = "POST");
  void ShutdownWrite();
  void Close() { fd_.reset(); }
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  std::string early_;
};

// A client that speaks SPDY after the upgrade.
class TestSpdyClient {
 public:
  // Upgrades with the given sub-protocol, or fails the test.
  TestSpdyClient(int port, const std::string& url, const std::string& protocol);

  // Opens the next odd stream.
  uint32_t Open(const Headers& headers, bool fin = false);
  bool Data(uint32_t stream_id, absl::string_view data, bool fin = false);
  // Reads the next frame other than a window update. A data frame may come in pieces.
  absl::StatusOr<SpdyFrame> Next();
  // Reads until `stream_id` is closed or reset, keeping what comes for the others too.
  absl::StatusOr<std::string> ReadAll(uint32_t stream_id);

  TestClient& raw() { return client_; }
  SpdyEncoder& encoder() { return encoder_; }
  uint64_t window_updates() const { return window_updates_; }

 private:
  TestClient client_;
  SpdyEncoder encoder_;
  SpdyDecoder decoder_;
  std::string data_;  // of the last frame
  uint32_t next_id_ = 1;
  uint64_t window_updates_ = 0;
  std::map<uint32_t, std::string> received_;
  std::map<uint32_t, bool> closed_;
};

// "/exec/TOKEN" of "http://host:port/exec/TOKEN".
std::string PathOfUrl(const std::string& url);

// Descriptors that this process has open.
size_t OpenDescriptors();

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SERVER_TESTING_TEST_CLIENT_H_
