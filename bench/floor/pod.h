#ifndef CRISP_BENCH_FLOOR_POD_H_
#define CRISP_BENCH_FLOOR_POD_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bench/floor/laps.h"
#include "bench/floor/node.h"

namespace crisp::bench {

// One pod with one container, made with the bare system calls, with a lap for each step. The four
// steps are those of the CRI: RunPodSandbox, CreateContainer, StartContainer, and the ends of both.
class Pod {
 public:
  // `number` is unique on the bridge.
  Pod(Node* node, uint32_t number);
  Pod(const Pod&) = delete;
  Pod& operator=(const Pod&) = delete;
  // Closes descriptors. It does not do the work of End().
  ~Pod();

  // Makes the namespaces and the network alone. RunSandbox() does that first.
  void RunNetwork(Laps* laps);
  void RunSandbox(Laps* laps);
  void CreateContainer(Laps* laps);
  void StartContainer(Laps* laps);
  // Runs `true` inside until it is reaped and its output read.
  void Exec(Laps* laps);
  // Ends everything that has been made.
  void End(Laps* laps);

 private:
  friend class Inside;
  // A mount that is made before the container starts, and its place.
  struct Prepared {
    int mount;
    const char* target;
  };

  void MakeNamespaces();
  void MakeCgroup();
  void WriteLimits();
  int MountOverlay();
  void MountDev();
  void CloneBinds();
  void OpenStdio();
  void RemoveCgroups();

  Node* node_;
  uint32_t number_;
  std::string name_;
  std::string directory_;
  std::string cgroup_;  // of the container, below every hierarchy; a kubelet makes the pod's
  int netns_ = -1, ipcns_ = -1, utsns_ = -1, route_socket_ = -1;
  int shm_ = -1, root_ = -1, log_ = -1;
  int stdio_[2][2] = {{-1, -1}, {-1, -1}};  // stdout's and stderr's pipes
  std::vector<Prepared> mounts_;
  std::vector<int> tasks_;  // v1: the container's tasks files
  int unified_ = -1;        // v2: its directory
  pid_t init_ = -1;
  bool sandbox_ = false, container_ = false;  // what End() has to end
};

}  // namespace crisp::bench

#endif  // CRISP_BENCH_FLOOR_POD_H_
