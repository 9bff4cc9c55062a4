#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <iostream>
#include <thread>

#include "bench/client/measures.h"

namespace crisp::bench {
namespace {

// Lets whoever started this program look at the runtime's CPU time now.
void Mark(const char* what) {
  std::cout << what << std::endl;
  std::string line;
  std::getline(std::cin, line);
}

bool Listens(const std::string& endpoint) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::string path = endpoint.substr(endpoint.find(':') + 1);
  if (path.starts_with("//")) path.erase(0, 2);
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool listens =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return listens;
}

double RealTime() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

nlohmann::ordered_json MeasureExecs(const ClientOptions& options, double rate, double seconds) {
  constexpr int kThreads = 64;
  const int count = static_cast<int>(rate * seconds);
  const auto channel = grpc::CreateChannel(options.endpoint, grpc::InsecureChannelCredentials());
  Client owner(options, channel);
  const PodIds ids = owner.StartPod(options.tag, {"sleep", "1000000"});
  owner.Exec(ids, {"true"});
  Mark("begin");
  std::atomic<int> next = 0, done = 0;
  const double started = Now(), give_up = started + (2 * seconds) * 1e6;
  std::vector<Samples> lates(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Client client(options, channel);
      for (int i = next++; i < count && Now() < give_up; i = next++) {
        const double due = started + i / rate * 1e6;
        if (const double early = due - Now(); early > 0) usleep(static_cast<useconds_t>(early));
        client.Exec(ids, {"true"});
        lates[static_cast<size_t>(t)].Add("exec", Now() - due);
        ++done;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double took = (Now() - started) / 1e6;
  Mark("end");
  owner.EndPod(ids);
  Samples all;
  for (const Samples& one : lates) all.Merge(one);
  nlohmann::ordered_json result = all.ToJson();
  result["done"] = done.load();
  result["asked"] = count;
  result["seconds"] = took;
  return result;
}

nlohmann::ordered_json MeasureWriter(const ClientOptions& options,
                                     const std::vector<std::string>& command) {
  Client client(options);
  Mark("begin");
  const PodIds ids = client.StartPod(options.tag, command);
  const double started = Now();
  const int code = client.Wait(ids);
  const double took = (Now() - started) / 1e6;
  Mark("end");
  client.EndPod(ids);
  return {{"seconds", took}, {"exit_code", code}};
}

nlohmann::ordered_json MeasureReturn(const ClientOptions& options, int pods, double since) {
  const double give_up = RealTime() + 300;
  const auto wanted = static_cast<size_t>(pods);
  size_t ready = 0, running = 0;
  double answered = 0;
  while (RealTime() < give_up) {
    if (!Listens(options.endpoint)) {
      usleep(500);
      continue;
    }
    Client client(options);
    if (!client.Answers()) continue;
    if (answered == 0) answered = RealTime() - since;
    ready = client.ReadyPods().size();
    running = client.RunningContainers().size();
    if (ready == wanted && running == wanted) {
      return {{"pods", pods}, {"answered", answered}, {"seconds", RealTime() - since}};
    }
  }
  return {{"pods", pods}, {"answered", answered}, {"ready", ready}, {"running", running}};
}

}  // namespace crisp::bench
