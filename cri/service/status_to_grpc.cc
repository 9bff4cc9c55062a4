#include "cri/service/status_to_grpc.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace crisp::cri {
namespace {

constexpr size_t kMaxEncodedMessage = 6 << 10;
constexpr absl::string_view kCut = " ... (cut)";
constexpr absl::string_view kKubeletTexts[] = {"RegistryUnavailable", "SignatureValidationFailed",
                                               "RROUnsupported", "ImageVolumeMountFailed"};

// Every byte outside printable ASCII, and '%', takes three in the trailer.
size_t EncodedSize(char c) { return c >= 0x20 && c < 0x7f && c != '%' ? 1 : 3; }

std::string Fit(absl::string_view message) {
  size_t encoded = 0;
  for (size_t i = 0; i < message.size(); ++i) {
    encoded += EncodedSize(message[i]);
    if (encoded <= kMaxEncodedMessage) continue;
    // Not in the middle of a UTF-8 sequence.
    while (i > 0 && (static_cast<unsigned char>(message[i]) & 0xc0) == 0x80) --i;
    return std::string(message.substr(0, i)) + std::string(kCut);
  }
  return std::string(message);
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  auto code = static_cast<grpc::StatusCode>(status.code());
  for (absl::string_view text : kKubeletTexts) {
    if (absl::StartsWith(status.message(), text)) code = grpc::StatusCode::UNKNOWN;
  }
  return grpc::Status(code, Fit(status.message()));
}

}  // namespace crisp::cri
