#include <string.h>
#include <unistd.h>

#include "runtime/shim/broker.h"
#include "runtime/wire/wire.h"

// For the daemon to find in this file.
[[gnu::used, gnu::retain]] static const crisp::runtime::VersionStamp g_stamp =
    crisp::runtime::kVersionStamp;

// The daemon may be of another release: what it does not say has a default, what it says further is
// nothing to us.
int main(int argc, char** argv) {
  if (argc >= 3 && strcmp(argv[1], "--broker") == 0)
    crisp::shim::RunBroker(argv[2], argc > 3 ? argv[3] : "0");
  static const char kUsage[] = "crisp-shim is started by crispd\n";
  (void)!write(2, kUsage, sizeof(kUsage) - 1);
  return 2;
}
