// crisp: the operator's tool, a client of crispd's sockets.
#include <string>
#include <vector>

#include "cli/commands/commands.h"

int main(int argc, char** argv) {
  return crisp::cli::RunCrisp(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc),
                              crisp::cli::RealSurroundings());
}
