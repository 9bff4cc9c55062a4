#include "bench/client/measures.h"

namespace crisp::bench {

nlohmann::ordered_json MeasureLatency(const ClientOptions& options, int count, int warm_up) {
  Client client(options);
  for (int i = 0; i < warm_up + count; ++i) {
    if (i == warm_up) client.samples().Clear();
    const PodIds ids = client.StartPod(options.tag + "-" + std::to_string(i), {"sleep", "1000000"});
    client.Exec(ids, {"true"});
    client.EndPod(ids);
  }
  return client.samples().ToJson();
}

nlohmann::ordered_json MeasureQueries(const ClientOptions& options, int count) {
  Client client(options);
  for (int i = 0; i < count; ++i) {
    const std::vector<std::string> pods = client.ReadyPods();
    const std::vector<std::string> containers = client.RunningContainers();
    if (!pods.empty()) client.PodStatus(pods[static_cast<size_t>(i) % pods.size()]);
    if (!containers.empty()) {
      client.ContainerStatus(containers[static_cast<size_t>(i) % containers.size()]);
    }
    // Takes the longest by far, and nobody asks for its last percent.
    if (i % 4 == 0) client.ContainerStats();
  }
  return client.samples().ToJson();
}

nlohmann::ordered_json MeasurePull(const ClientOptions& options) {
  Client client(options);
  const uint64_t size = client.Pull(options.image);
  nlohmann::ordered_json all = client.samples().ToJson();
  all["size"] = size;
  return all;
}

}  // namespace crisp::bench
