#ifndef CRISP_CRI_SERVICE_STATUS_TO_GRPC_H_
#define CRISP_CRI_SERVICE_STATUS_TO_GRPC_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace crisp::cri {

// The single mapping from our statuses to what a CRI client sees. Codes go over one to one, except
// that a message starting with one of the texts which the kubelet looks for (RegistryUnavailable,
// SignatureValidationFailed, RROUnsupported, ImageVolumeMountFailed) is sent as UNKNOWN: of that
// code the kubelet's client keeps the bare text, and only a bare text matches. Messages are cut so
// that they fit a trailer of 8 KiB, gRPC's default limit, in their percent-encoded form.
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_STATUS_TO_GRPC_H_
