// hung_fs DIRECTORY: mounts a file system there that answers nobody, until SIGTERM or the end of
// stdin.
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "base/testing/test_hung_file_system.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  const auto mounted = crisp::HungFileSystem::Mount(argv[1]);
  if (!mounted.ok()) {
    std::fprintf(stderr, "%s\n", std::string(mounted.status().message()).c_str());
    return 1;
  }
  std::puts("ready");
  std::fflush(stdout);
  int ended = 0;
  return sigwait(&ends, &ended);
}
