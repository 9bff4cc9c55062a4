#ifndef CRISP_NETWORK_VALUES_BANDWIDTH_H_
#define CRISP_NETWORK_VALUES_BANDWIDTH_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::network {

// A Kubernetes quantity ("10M", "1.5Gi", "2e6", "500m") as a whole number, rounded up.
// InvalidArgument when malformed, negative or above 2^63-1.
// https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
absl::StatusOr<uint64_t> ParseQuantity(absl::string_view text);

struct Bandwidth {
  uint64_t ingress = 0;  // towards the pod, bits per second; 0: unlimited
  uint64_t egress = 0;   // from the pod
  bool limited() const { return ingress != 0 || egress != 0; }
};

// The limits of the annotations kubernetes.io/ingress-bandwidth and kubernetes.io/egress-bandwidth.
// InvalidArgument outside Kubernetes' own range of 1k to 1P.
absl::StatusOr<Bandwidth> BandwidthOf(const std::map<std::string, std::string>& annotations);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_VALUES_BANDWIDTH_H_
