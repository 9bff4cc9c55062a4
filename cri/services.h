#ifndef CRISP_CRI_SERVICES_H_
#define CRISP_CRI_SERVICES_H_

#include "cri/config.h"
#include "metrics/registry.h"
#include "network/pod_network.h"
#include "runtime/shim_client.h"
#include "storage/image_store.h"

namespace crisp::cri {

// What the daemon (cri/daemon.h) owns and lends to its services; all of it outlives them.
struct Services {
  const Config& config;
  storage::ImageStore& images;
  network::PodNetwork& network;
  // Tells exits to the PodApi (PodApi::observer), which is connected before the first call.
  runtime::ShimPool& shims;
  metrics::Registry& metrics;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICES_H_
