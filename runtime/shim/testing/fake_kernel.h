#ifndef CRISP_RUNTIME_SHIM_TESTING_FAKE_KERNEL_H_
#define CRISP_RUNTIME_SHIM_TESTING_FAKE_KERNEL_H_

// Test-only: stands in the place of calls.cc, so that the shim's logic runs in a test's own
// process. Namespaces are entered and mounts are made with success and without effect, children are
// numbers that nobody has and that have ended already, and time passes when the test says so.

#include <setjmp.h>
#include <stdint.h>

namespace crisp::shim {

struct FakeKernel {
  bool processes = false;   // pidfds and signals are the kernel's own
  bool clock = false;       // so is the time
  uint64_t now = 1;         // nanoseconds, where it is not
  uint64_t step = 0;        // that pass with every look at the clock
  bool log_writers = true;  // they are made as other children are
  int clones = 0;           // children that were made
  int clone_error = 0;      // why there are none; 0: they are made
  jmp_buf* end = nullptr;   // where EndShim() goes
};
extern FakeKernel g_kernel;

// What the loop of a shim does in one turn (server.cc), without waiting for anything.
void TakeTurn();
// Ends whatever requests have left behind: containers, execs, births and the connection.
void ForgetEverything();

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_TESTING_FAKE_KERNEL_H_
