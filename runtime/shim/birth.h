#ifndef CRISP_RUNTIME_SHIM_BIRTH_H_
#define CRISP_RUNTIME_SHIM_BIRTH_H_

#include "runtime/shim/container.h"

namespace crisp::shim {

// A container's first process, or an exec's, on its way to execve. This is the shim's end of its
// status socket, which execve closes. There may be several at a time, and the shim serves other
// requests meanwhile.
class Birth : public Watch, public Fallible {
 public:
  // Takes the socket. The process is the container's (exec's). It is known, or `helper` makes it
  // known. From now on it is among g_births.
  void Begin(Container* for_container, Exec* for_exec, int socket, uint64_t request);

  void Ready(uint32_t events) override;
  void Refuse();  // it has failed, for g_error's reason
  Process& process() const { return container != nullptr ? container->process : exec->process; }
  // True if a child that nobody knows may be this one's process.
  bool unknown() const { return helper.pid != 0 && process().pid == 0; }

  Container* container = nullptr;
  Exec* exec = nullptr;
  // A child in between. It does what the process' own namespaces must not see, or what has to be
  // done from inside a user namespace, and gives birth to the process: a child of the shim, too.
  Process helper;
  uint64_t request_id = 0;
  bool asked = true;      // the client that asked for it is still connected
  uint64_t deadline = 0;  // Monotonic() at which it is given up
  bool dead = false;      // the child had ended before it was told to go on
  bool failed = false;
  bool killed = false;  // its process may not go on
  Error error;
  Birth* next = nullptr;

 private:
  // False, with g_error, if the process will not go on.
  bool Heed(const ChildReport& report, Fd passed);
  bool Learn(pid_t pid, Fd pidfd);
  bool TakeTerminal(Fd master);
  Fd mount_table_;  // the host's, if binds follow it
};

extern Birth* g_births;

Birth* FindBirth(const Exec* exec);

// Called when the status socket has closed, or the birth has failed. Settles the state, answers the
// request, books an end that came meanwhile, and deletes the birth.
void Settle(Birth* birth);
void GiveUp(Birth* birth, Code code, const char* why);

// Signals a program that is being born, as soon as it can take the signal; SIGKILL waits for
// nothing. False with g_error.
bool SignalAtBirth(Container* container, int signal);

// Gives up those that are over their time. Returns the milliseconds until the next one is; -1 if
// there is none.
int SettleOverdue();

// True if a container is being started for which the present daemon has not asked.
bool AnyOrphanStart();

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_BIRTH_H_
