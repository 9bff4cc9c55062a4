#include "cli/commands/commands.h"

namespace crisp::cli {

void AddAll(Commands& commands) {
  AddImages(commands);
  AddImport(commands);
  AddExport(commands);
  AddHistory(commands);
  AddExplain(commands);
  AddInfo(commands);
  AddDoctor(commands);
}

}  // namespace crisp::cli
