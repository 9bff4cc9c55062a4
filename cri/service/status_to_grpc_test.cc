#include "cri/service/status_to_grpc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace crisp::cri {
namespace {

using ::testing::EndsWith;

TEST(StatusToGrpcTest, CodesGoOverOneToOne) {
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  const std::pair<absl::StatusCode, grpc::StatusCode> kPairs[] = {
      {absl::StatusCode::kCancelled, grpc::StatusCode::CANCELLED},
      {absl::StatusCode::kUnknown, grpc::StatusCode::UNKNOWN},
      {absl::StatusCode::kInvalidArgument, grpc::StatusCode::INVALID_ARGUMENT},
      {absl::StatusCode::kDeadlineExceeded, grpc::StatusCode::DEADLINE_EXCEEDED},
      {absl::StatusCode::kNotFound, grpc::StatusCode::NOT_FOUND},
      {absl::StatusCode::kAlreadyExists, grpc::StatusCode::ALREADY_EXISTS},
      {absl::StatusCode::kPermissionDenied, grpc::StatusCode::PERMISSION_DENIED},
      {absl::StatusCode::kResourceExhausted, grpc::StatusCode::RESOURCE_EXHAUSTED},
      {absl::StatusCode::kFailedPrecondition, grpc::StatusCode::FAILED_PRECONDITION},
      {absl::StatusCode::kAborted, grpc::StatusCode::ABORTED},
      {absl::StatusCode::kOutOfRange, grpc::StatusCode::OUT_OF_RANGE},
      {absl::StatusCode::kUnimplemented, grpc::StatusCode::UNIMPLEMENTED},
      {absl::StatusCode::kInternal, grpc::StatusCode::INTERNAL},
      {absl::StatusCode::kUnavailable, grpc::StatusCode::UNAVAILABLE},
      {absl::StatusCode::kDataLoss, grpc::StatusCode::DATA_LOSS},
      {absl::StatusCode::kUnauthenticated, grpc::StatusCode::UNAUTHENTICATED},
  };
  for (const auto& [ours, theirs] : kPairs) {
    const grpc::Status mapped = ToGrpc(absl::Status(ours, "what went wrong"));
    EXPECT_EQ(mapped.error_code(), theirs);
    EXPECT_EQ(mapped.error_message(), "what went wrong");
  }
}

TEST(StatusToGrpcTest, TextsTheKubeletLooksForGoAsUnknown) {
  for (const char* text : {"RegistryUnavailable", "SignatureValidationFailed", "RROUnsupported",
                           "ImageVolumeMountFailed"}) {
    const std::string message = std::string(text) + ": details";
    const grpc::Status mapped = ToGrpc(absl::UnavailableError(message));
    EXPECT_EQ(mapped.error_code(), grpc::StatusCode::UNKNOWN);
    EXPECT_EQ(mapped.error_message(), message);
  }
  EXPECT_EQ(ToGrpc(absl::UnavailableError("no RegistryUnavailable")).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST(StatusToGrpcTest, LongMessagesAreCutToFitATrailer) {
  EXPECT_EQ(ToGrpc(absl::InternalError(std::string(6000, 'a'))).error_message().size(), 6000u);
  const std::string plain = ToGrpc(absl::InternalError(std::string(50000, 'a'))).error_message();
  EXPECT_LT(plain.size(), 6500u);
  EXPECT_THAT(plain, EndsWith("(cut)"));
  std::string umlauts;
  for (int i = 0; i < 5000; ++i) umlauts += "\xc3\xa4";
  const std::string cut = ToGrpc(absl::InternalError(umlauts)).error_message();
  EXPECT_LT(cut.size(), 2100u) << "three bytes each on the wire";
  EXPECT_EQ(cut.find(" ...") % 2, 0u) << "whole characters only";
}

}  // namespace
}  // namespace crisp::cri
