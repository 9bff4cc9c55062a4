#ifndef CRISP_CRI_SERVICE_STATUS_TO_GRPC_H_
#define CRISP_CRI_SERVICE_STATUS_TO_GRPC_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace crisp::cri {

// The only mapping from our statuses to those of a CRI client. Codes go over one to one, with one
// exception. A message that starts with one of the texts for which the kubelet looks
// (RegistryUnavailable, SignatureValidationFailed, RROUnsupported, ImageVolumeMountFailed) is sent
// as UNKNOWN: with that code the kubelet's client keeps the bare text, and only a bare text
// matches. Messages are cut so that their percent-encoded form fits a trailer of 8 KiB, gRPC's
// default limit.
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_STATUS_TO_GRPC_H_
