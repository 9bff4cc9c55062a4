#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "base/file.h"
#include "base/status.h"
#include "cli/commands/commands.h"

namespace crisp::cli {
namespace {

struct Flags {
  std::string file;
  std::vector<std::string> references;
};

absl::Status Export(const Flags& flags, Context& context) {
  if (flags.file.empty() && context.terminal) {
    return absl::InvalidArgumentError("will not write an archive to a terminal: use -o FILE");
  }
  if (flags.file.empty() || flags.file == "-") {
    return context.client.Export(flags.references, STDOUT_FILENO);
  }
  // Under a temporary name until it is whole.
  const std::string partial = flags.file + ".partial";
  CRISP_ASSIGN_OR_RETURN(const UniqueFd file,
                         Open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644));
  absl::Status status = context.client.Export(flags.references, file.get());
  if (status.ok() && rename(partial.c_str(), flags.file.c_str()) != 0) {
    status = ErrnoError(errno, "rename " + partial);
  }
  if (!status.ok()) (void)unlink(partial.c_str());
  return status;
}

void AddTo(Commands& commands, CommandText text, CLI::App* parent) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* exporting = commands.Add(
      std::move(text), [flags](Context& context) { return Export(*flags, context); }, parent);
  exporting->add_option("-o,--output", flags->file, "The archive (default: standard output)")
      ->type_name("FILE");
  exporting->add_option("IMAGE", flags->references, "Names or ids")->required();
}

}  // namespace

void AddExport(Commands& commands, CLI::App* parent) {
  AddTo(commands,
        {.name = "export",
         .help = "Write images into an archive",
         .examples = {"crisp export -o app.tar app:1",
                      "crisp export app:1 db:2 | ssh node2 crisp import -"},
         .description = "The archive is an OCI layout, and docker can load it."},
        parent);
}

void AddSave(Commands& commands) {
  AddTo(commands,
        {.name = "save",
         .help = "Write images into an archive, as docker save does",
         .examples = {"crisp save -o app.tar app:1"},
         .description = "The same as `crisp export`."},
        nullptr);
}

}  // namespace crisp::cli
