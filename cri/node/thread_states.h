#ifndef CRISP_CRI_NODE_THREAD_STATES_H_
#define CRISP_CRI_NODE_THREAD_STATES_H_

#include <string>
#include <vector>

namespace crisp::cri {

// One thread, as /proc/PID/task/TID shows it (proc_pid_stat(5), proc_pid_wchan(5)).
struct ThreadState {
  int id = 0;
  std::string name;      // comm
  std::string state;     // "R", "S", "D", …
  std::string waits_in;  // the kernel's function in which it sleeps; "" if the kernel does not say
};

// The threads of this process, by id. A thread that ends meanwhile is left out. The function never
// blocks on a thread that it looks at.
std::vector<ThreadState> ThreadsOfThisProcess();

}  // namespace crisp::cri

#endif  // CRISP_CRI_NODE_THREAD_STATES_H_
