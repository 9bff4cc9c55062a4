#include <memory>

#include "base/status.h"
#include "cli/client/archive_source.h"
#include "cli/commands/commands.h"

namespace crisp::cli {
namespace {

struct Flags {
  std::string file;
  std::string name;
};

absl::Status Import(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const std::unique_ptr<ArchiveSource> source,
                         ArchiveSource::Open(flags.file));
  CRISP_ASSIGN_OR_RETURN(
      const auto references,
      context.client.Import(source->fd(), flags.name, [&] { return source->Finish(); }));
  for (const std::string& reference : references) context.out << reference << "\n";
  return absl::OkStatus();
}

absl::Status Load(const Flags& flags, Context& context) {
  if (flags.file.empty() && context.can_ask) {
    return absl::InvalidArgumentError("will not read an archive from a terminal: use -i FILE");
  }
  return Import({.file = flags.file.empty() ? "-" : flags.file}, context);
}

}  // namespace

void AddImport(Commands& commands, CLI::App* parent) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* import = commands.Add(
      {.name = "import",
       .help = "Read images from an OCI layout or docker save archive",
       .examples = {"crisp import app.tar.zst", "crisp import --name app:1 layout/",
                    "docker save app:1 | crisp import -"}},
      [flags](Context& context) { return Import(*flags, context); }, parent);
  import->add_option("--name", flags->name,
                     "A name for the one image in the archive, beside those it has");
  import
      ->add_option("FILE", flags->file,
                   "The archive, plain or compressed (gzip, zstd, xz, bzip2); an OCI layout's "
                   "directory; - for standard input")
      ->required();
}

void AddLoad(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  commands
      .Add({.name = "load",
            .help = "Read images from an archive, as docker load does",
            .examples = {"crisp load -i app.tar", "docker save app:1 | crisp load"}},
           [flags](Context& context) { return Load(*flags, context); })
      ->add_option("-i,--input", flags->file, "The archive (default: standard input)")
      ->type_name("FILE");
}

}  // namespace crisp::cli
