#include "cli/commands/commands.h"

namespace crisp::cli {

void AddAll(Commands& commands) {
  // Containers and pods.
  AddPs(commands);
  AddPods(commands);
  AddStop(commands);
  AddKill(commands);
  AddRestart(commands);
  AddPause(commands);
  AddUnpause(commands);
  AddRm(commands);
  AddInspect(commands);
  AddStats(commands);
  AddTop(commands);
  AddDiff(commands);
  AddEvents(commands);
  // Images.
  AddPull(commands);
  AddImages(commands);
  AddHistory(commands);
  AddTag(commands);
  AddRmi(commands);
  AddImport(commands);
  AddExport(commands);
  AddLoad(commands);
  AddSave(commands);
  // The node.
  AddDf(commands);
  AddPrune(commands);
  AddInfo(commands);
  AddDoctor(commands);
  AddExplain(commands);
  AddCompletion(commands);
  AddManual(commands);
}

}  // namespace crisp::cli
