// cri-bench: measures whichever runtime serves a CRI socket, as a kubelet would use it. Prints
// JSON; times of steps are microseconds.
#include <CLI/CLI.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "bench/client/measures.h"

int main(int argc, char** argv) {
  using namespace crisp::bench;
  // Debian's Abseil looks for lock cycles at every lock: a tenth of a burst's CPU, and the
  // runtimes' to use.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  ClientOptions options;
  int count = 100, warm_up = 5, pods = 10, parallel = 10;
  double rate = 100, seconds = 10, since = 0;
  bool hold = false;
  std::vector<std::string> command;
  nlohmann::ordered_json result;

  CLI::App app("measures a container runtime through its CRI socket");
  app.require_subcommand(1);
  app.add_option("--endpoint", options.endpoint);
  app.add_option("--handler", options.handler, "RuntimeClass handler");
  app.add_option("--image", options.image, "already pulled, except for pull");
  app.add_option("--log-directory", options.log_directory);
  app.add_option("--cgroup-parent", options.cgroup_parent);
  app.add_option("--tag", options.tag, "starts the pods' names");

  CLI::App* latency = app.add_subcommand("latency", "pods one after another");
  latency->add_option("--count", count);
  latency->add_option("--warm-up", warm_up);
  latency->callback([&] { result = MeasureLatency(options, count, warm_up); });

  CLI::App* burst = app.add_subcommand("burst", "pods at the same time");
  burst->add_option("--pods", pods);
  burst->add_option("--parallel", parallel);
  burst->add_flag("--hold", hold, "wait for a line on stdin before ending them");
  burst->callback([&] { result = MeasureBurst(options, pods, parallel, hold); });

  CLI::App* queries = app.add_subcommand("queries", "lists, statuses, stats");
  queries->add_option("--count", count);
  queries->callback([&] { result = MeasureQueries(options, count); });

  CLI::App* execs = app.add_subcommand("execs", "at a rate");
  execs->add_option("--rate", rate, "a second");
  execs->add_option("--seconds", seconds);
  execs->callback([&] { result = MeasureExecs(options, rate, seconds); });

  CLI::App* writer = app.add_subcommand("writer", "a container that writes to its log and exits");
  writer->add_option("command", command)->required();
  writer->callback([&] { result = MeasureWriter(options, command); });

  app.add_subcommand("pull", "one image")->callback([&] { result = MeasurePull(options); });

  CLI::App* returns = app.add_subcommand("return", "wait for a restarted runtime");
  returns->add_option("--pods", pods);
  returns->add_option("--since", since, "seconds since the epoch");
  returns->callback([&] { result = MeasureReturn(options, pods, since); });

  app.add_subcommand("end-all", "end all pods")->callback([&] { result = EndAll(options); });

  CLI11_PARSE(app, argc, argv);
  std::cout << result.dump() << std::endl;
  return 0;
}
