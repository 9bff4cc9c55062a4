#include <atomic>
#include <cstdio>
#include <iostream>
#include <thread>

#include "bench/client/measures.h"

namespace crisp::bench {
namespace {

// Calls `work(client, i)` for i below `count` by `parallel` threads, each with a client of its own;
// what they noted, together.
template <typename Work>
Samples InParallel(const ClientOptions& options, int count, int parallel, Work work) {
  const auto channel = grpc::CreateChannel(options.endpoint, grpc::InsecureChannelCredentials());
  (void)channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10));
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < parallel; ++i) clients.push_back(std::make_unique<Client>(options, channel));
  std::atomic<int> next = 0;
  std::vector<std::thread> threads;
  for (auto& client : clients) {
    threads.emplace_back([&, one = client.get()] {
      for (int i = next++; i < count; i = next++) work(*one, i);
    });
  }
  Samples all;
  for (size_t i = 0; i < threads.size(); ++i) {
    threads[i].join();
    all.Merge(clients[i]->samples());
  }
  return all;
}

nlohmann::ordered_json Result(int pods, double micros, const Samples& samples) {
  return {{"pods", pods},
          {"micros", micros},
          {"per_second", pods / micros * 1e6},
          {"steps", samples.ToJson()}};
}

}  // namespace

nlohmann::ordered_json MeasureBurst(const ClientOptions& options,
                                    int pods,
                                    int parallel,
                                    bool hold) {
  std::vector<PodIds> ids(static_cast<size_t>(pods));
  double started = Now();
  const Samples starts = InParallel(options, pods, parallel, [&](Client& client, int i) {
    ids[static_cast<size_t>(i)] =
        client.StartPod(options.tag + "-" + std::to_string(i), {"sleep", "1000000"});
  });
  nlohmann::ordered_json result = Result(pods, Now() - started, starts);
  if (hold) {
    std::cout << result.dump() << std::endl;
    std::string line;
    std::getline(std::cin, line);
    if (line == "leave") return {};
  }
  started = Now();
  const Samples ends = InParallel(options, pods, parallel, [&](Client& client, int i) {
    client.EndPod(ids[static_cast<size_t>(i)]);
  });
  result["ends"] = Result(pods, Now() - started, ends);
  return result;
}

nlohmann::ordered_json EndAll(const ClientOptions& options) {
  Client client(options);
  const std::vector<PodIds> ids = client.PodsWithContainers();
  const double started = Now();
  const Samples ends =
      InParallel(options, static_cast<int>(ids.size()), 8,
                 [&](Client& one, int i) { one.EndPod(ids[static_cast<size_t>(i)]); });
  return Result(static_cast<int>(ids.size()), Now() - started, ends);
}

}  // namespace crisp::bench
