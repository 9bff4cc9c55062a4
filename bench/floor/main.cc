// floor: what the kernel alone takes for a networked pod with a container, with no runtime around
// it: the system calls of RunPodSandbox, CreateContainer, StartContainer, ExecSync and the ends,
// made by one small program. Every step is timed.
//
// --burst N makes N whole pods by --workers processes that share a bridge and keeps them until all
// are made; --networks makes only their networks.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/floor/laps.h"
#include "bench/floor/node.h"
#include "bench/floor/pod.h"
#include "bench/floor/sys.h"
#include "bench/samples/samples.h"

namespace crisp::bench {
namespace {

struct Options {
  NodeOptions node = {.directory = "/tmp", .program = "/bin/busybox"};
  int count = 200;
  int warm_up = 10;
  int burst = 0;
  int workers = 2;
  bool networks = false;
  bool json = false;
};

volatile sig_atomic_t g_stop = 0;

void WholePod(Node* node, uint32_t number, Laps* laps) {
  Pod pod(node, number);
  laps->Start();
  pod.RunSandbox(laps);
  pod.CreateContainer(laps);
  pod.StartContainer(laps);
  pod.Exec(laps);
  laps->Start();
  pod.End(laps);
}

void OneByOne(const Options& options) {
  Node node(options.node);
  Samples samples;
  for (int i = 0; i < options.warm_up + options.count && !g_stop; ++i) {
    Laps laps;
    WholePod(&node, static_cast<uint32_t>(i), &laps);
    if (i >= options.warm_up) laps.AddTo(&samples);
  }
  if (options.json) {
    std::printf("%s\n", samples.ToJson().dump().c_str());
  } else {
    std::printf("%s", samples.ToTable().c_str());
  }
}

// Makes this worker's share when `start` is closed, says so, and ends the pods when `stop` is.
void Work(Node* node, const Options& options, int worker, int start, int done, int stop) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  node->Borrow();
  char byte;
  (void)!read(start, &byte, 1);
  std::vector<std::unique_ptr<Pod>> pods;
  Laps unused;
  for (int i = worker; i < options.burst; i += options.workers) {
    pods.push_back(std::make_unique<Pod>(node, static_cast<uint32_t>(i)));
    if (options.networks) {
      pods.back()->RunNetwork(&unused);
      continue;
    }
    pods.back()->RunSandbox(&unused);
    pods.back()->CreateContainer(&unused);
    pods.back()->StartContainer(&unused);
  }
  Check(write(done, "d", 1), "say that the pods are made");
  (void)!read(stop, &byte, 1);
  for (auto& pod : pods) pod->End(&unused);
}

void Burst(const Options& options) {
  Node node(options.node);
  int start[2], done[2], stop[2];
  for (int* ends : {start, done, stop}) Check(pipe(ends), "make a pipe");
  std::vector<pid_t> workers;
  for (int i = 0; i < options.workers; ++i) {
    const pid_t pid = Check(fork(), "fork a worker");
    if (pid == 0) {
      for (const int* ends : {start, stop}) close(ends[1]);
      Work(&node, options, i, start[0], done[1], stop[0]);
      _exit(0);
    }
    workers.push_back(pid);
  }
  close(done[1]);
  usleep(100000);
  const double began = Now();
  close(start[1]);
  char byte;
  int ready = 0;
  while (read(done[0], &byte, 1) == 1 && ++ready < options.workers) {
  }
  const double micros = Now() - began;
  close(stop[1]);
  for (const pid_t pid : workers) Check(waitpid(pid, nullptr, 0), "wait for a worker");
  if (ready < options.workers) std::exit(1);  // it has said why
  const double rate = options.burst / micros * 1e6;
  if (options.json) {
    const nlohmann::json all = {{"pods", options.burst}, {"micros", micros}, {"per_second", rate}};
    std::printf("%s\n", all.dump().c_str());
  } else {
    std::printf("%d %s in %.1f ms: %.0f a second\n", options.burst,
                options.networks ? "pod networks" : "pods", micros / 1e3, rate);
  }
}

}  // namespace
}  // namespace crisp::bench

int main(int argc, char** argv) {
  crisp::bench::Options options;
  CLI::App app("the kernel's share of a pod's life");
  app.add_option("--directory", options.node.directory, "on the pods' file system");
  app.add_option("--busybox", options.node.program, "a static one");
  app.add_option("--layers", options.node.layers);
  app.add_option("--host-mounts", options.node.host_mounts, "more mounts to make on the host");
  app.add_option("--count", options.count);
  app.add_option("--warm-up", options.warm_up);
  app.add_option("--burst", options.burst, "make this many pods at once instead");
  app.add_option("--workers", options.workers, "of a burst");
  app.add_flag("--networks", options.networks, "a burst of networks alone");
  app.add_flag("--json", options.json);
  CLI11_PARSE(app, argc, argv);
  for (const int signal : {SIGINT, SIGTERM})
    ::signal(signal, [](int) { crisp::bench::g_stop = 1; });
  if (options.burst > 0) {
    crisp::bench::Burst(options);
  } else {
    crisp::bench::OneByOne(options);
  }
  return 0;
}
