#include "streaming/server/testing/test_client.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::streaming {

TestClient::TestClient(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{.sin_family = AF_INET,
                      .sin_port = htons(static_cast<uint16_t>(port)),
                      .sin_addr = {htonl(INADDR_LOOPBACK)}};
  EXPECT_EQ(connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
}

bool TestClient::Send(absl::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t count = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

absl::StatusOr<std::string> TestClient::Receive() {
  if (!early_.empty()) return std::exchange(early_, "");
  pollfd wait{.fd = fd_.get(), .events = POLLIN};
  int patience =
      static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(kPatience).count());
  if (poll(&wait, 1, patience) == 0) return absl::DeadlineExceededError("nothing came");
  std::string bytes(64 << 10, '\0');
  ssize_t count = recv(fd_.get(), bytes.data(), bytes.size(), 0);
  if (count < 0) return absl::UnavailableError("the connection was reset");
  bytes.resize(static_cast<size_t>(count));
  return bytes;
}

absl::StatusOr<std::string> TestClient::ReceiveHead() {
  std::string head;
  size_t end;
  while ((end = head.find("\r\n\r\n")) == std::string::npos) {
    CRISP_ASSIGN_OR_RETURN(std::string more, Receive());
    if (more.empty()) return absl::UnavailableError(absl::StrCat("no answer but '", head, "'"));
    head += more;
  }
  early_ = head.substr(end + 4);
  return head.substr(0, end + 4);
}

absl::StatusOr<std::string> TestClient::Request(const std::string& url_path,
                                                const std::string& lines,
                                                const std::string& method) {
  if (!Send(absl::StrCat(method, " ", url_path, " HTTP/1.1\r\nHost: node\r\n", lines, "\r\n"))) {
    return absl::UnavailableError("the request could not be sent");
  }
  return ReceiveHead();
}

void TestClient::ShutdownWrite() { shutdown(fd_.get(), SHUT_WR); }

TestSpdyClient::TestSpdyClient(int port, const std::string& url, const std::string& protocol)
    : client_(port) {
  absl::StatusOr<std::string> head =
      client_.Request(PathOfUrl(url), absl::StrCat("Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                                                   "X-Stream-Protocol-Version: ",
                                                   protocol, "\r\n"));
  EXPECT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(head.value_or("").rfind("HTTP/1.1 101 ", 0), 0u) << head.value_or("");
}

uint32_t TestSpdyClient::Open(const Headers& headers, bool fin) {
  uint32_t id = next_id_;
  next_id_ += 2;
  std::string out;
  encoder_.AppendHeaders(SpdyType::kSynStream, id, fin, headers, out);
  EXPECT_TRUE(client_.Send(out));
  return id;
}

bool TestSpdyClient::Data(uint32_t stream_id, absl::string_view data, bool fin) {
  std::string out;
  SpdyEncoder::AppendData(stream_id, fin, data, out);
  return client_.Send(out);
}

absl::StatusOr<SpdyFrame> TestSpdyClient::Next() {
  SpdyFrame frame;
  while (true) {
    CRISP_ASSIGN_OR_RETURN(bool got, decoder_.Next(frame));
    if (got && frame.type == SpdyType::kWindowUpdate) {
      ++window_updates_;
    } else if (got) {
      return frame;
    } else {
      CRISP_ASSIGN_OR_RETURN(std::string bytes, client_.Receive());
      if (bytes.empty()) return absl::CancelledError("the server closed the connection");
      decoder_.Feed(bytes);
    }
  }
}

absl::StatusOr<std::string> TestSpdyClient::ReadAll(uint32_t stream_id) {
  while (!closed_[stream_id]) {
    CRISP_ASSIGN_OR_RETURN(SpdyFrame frame, Next());
    if (frame.type == SpdyType::kData) {
      received_[frame.stream_id].append(frame.data.data(), frame.data.size());
    }
    if (frame.fin || frame.type == SpdyType::kRstStream) closed_[frame.stream_id] = true;
  }
  return received_[stream_id];
}

std::string PathOfUrl(const std::string& url) { return url.substr(url.find('/', 8)); }

size_t OpenDescriptors() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

}  // namespace crisp::streaming
