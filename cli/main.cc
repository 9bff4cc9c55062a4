// crisp: the operator's tool, a client of crispd's socket.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/archive_source.h"
#include "cli/client.h"
#include "cli/doctor.h"
#include "cli/doctor_collect.h"
#include "cri/node/node_info.h"

namespace crisp::cli {
namespace {

constexpr char kDefaultAddress[] = "unix:///run/crisp/crisp.sock";
constexpr char kDefaultConfig[] = "/etc/crisp/config.yaml";
constexpr size_t kShortId = 13;
constexpr size_t kDigestPrefix = 7;  // "sha256:"

struct Arguments {
  std::string address = kDefaultAddress;
  std::string file;
  std::string name;
  std::string id;
  bool timing = false;
  bool json = false;
  std::optional<std::string> config;
  std::vector<std::string> references;
  bool address_given() const { return address != kDefaultAddress; }
};

std::string HumanBytes(uint64_t bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(units); ++unit) value /= 1024;
  return absl::StrFormat(unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

std::string ShortDigest(const std::string& digest) {
  const size_t colon = digest.find(':');
  return digest.substr(colon == std::string::npos ? 0 : colon + 1, kShortId);
}

absl::Status List(const Arguments& arguments) {
  CRISP_ASSIGN_OR_RETURN(const auto images, Client(arguments.address).ListImages());
  absl::PrintF("%-*s  %10s  %s\n", static_cast<int>(kShortId), "ID", "SIZE", "NAMES");
  for (const auto& image : images.images()) {
    absl::PrintF("%-*s  %10s  %s%s\n", static_cast<int>(kShortId), ShortDigest(image.id()),
                 HumanBytes(image.size()),
                 image.repo_tags().empty() ? absl::StrJoin(image.repo_digests(), " ")
                                           : absl::StrJoin(image.repo_tags(), " "),
                 image.pinned() ? " (pinned)" : "");
  }
  return absl::OkStatus();
}

absl::Status Import(const Arguments& arguments) {
  CRISP_ASSIGN_OR_RETURN(const std::unique_ptr<ArchiveSource> source,
                         ArchiveSource::Open(arguments.file));
  CRISP_ASSIGN_OR_RETURN(const auto references,
                         Client(arguments.address).Import(source->fd(), arguments.name, [&] {
                           return source->Finish();
                         }));
  for (const std::string& reference : references) absl::PrintF("%s\n", reference);
  return absl::OkStatus();
}

absl::Status Export(const Arguments& arguments) {
  Client client(arguments.address);
  if (arguments.file.empty() && isatty(STDOUT_FILENO) != 0) {
    return absl::InvalidArgumentError("will not write an archive to a terminal: use -o FILE");
  }
  if (arguments.file.empty() || arguments.file == "-") {
    return client.Export(arguments.references, STDOUT_FILENO);
  }
  // Under a temporary name until it is whole.
  const std::string partial = arguments.file + ".partial";
  CRISP_ASSIGN_OR_RETURN(const UniqueFd file,
                         Open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644));
  absl::Status status = client.Export(arguments.references, file.get());
  if (status.ok() && rename(partial.c_str(), arguments.file.c_str()) != 0) {
    status = ErrnoError(errno, "rename " + partial);
  }
  if (!status.ok()) (void)unlink(partial.c_str());
  return status;
}

absl::Status History(const Arguments& arguments) {
  CRISP_ASSIGN_OR_RETURN(const auto history, Client(arguments.address).History(arguments.id));
  absl::PrintF("%-20s  %-20s  %10s  %10s  %s\n", "CREATED", "LAYER", "SIZE", "UNPACKED",
               "CREATED BY");
  for (const auto& entry : history.entries()) {
    const std::string created = absl::FormatTime(
        "%Y-%m-%dT%H:%M:%SZ", absl::FromUnixNanos(entry.created_at()), absl::UTCTimeZone());
    const bool layer = !entry.empty_layer();
    absl::PrintF("%-20s  %-20s  %10s  %10s  %s\n", created,
                 layer ? entry.digest().substr(0, kDigestPrefix + kShortId) : "-",
                 layer ? HumanBytes(entry.size_bytes()) : "-",
                 layer ? HumanBytes(entry.unpacked_bytes()) : "-", entry.created_by());
    for (const std::string& container : entry.containers()) {
      absl::PrintF("%22sused by %s\n", "", container.substr(0, kShortId));
    }
  }
  return absl::OkStatus();
}

absl::Status Print(const absl::StatusOr<Json>& json) {
  if (!json.ok()) return json.status();
  absl::PrintF("%s\n", DumpJson(*json, 2));
  return absl::OkStatus();
}

// The steps of the operations on a pod or container, in the order in which they began.
absl::Status PrintTiming(const Json& explained) {
  CRISP_ASSIGN_OR_RETURN(const Json* steps, JsonArray(explained, "timing"));
  absl::PrintF("%-17s  %-12s  %10s  %s\n", "OPERATION", "STEP", "TIME", "BEGAN");
  for (const Json& step : *steps) {
    CRISP_ASSIGN_OR_RETURN(const std::string operation, JsonString(step, "operation"));
    CRISP_ASSIGN_OR_RETURN(const std::string name, JsonString(step, "step"));
    CRISP_ASSIGN_OR_RETURN(const std::string at, JsonString(step, "at"));
    CRISP_ASSIGN_OR_RETURN(const int64_t took, JsonInt(step, "microseconds"));
    absl::PrintF("%-17s  %-12s  %7.3f ms  %s\n", operation, name, static_cast<double>(took) / 1000,
                 at);
  }
  return absl::OkStatus();
}

absl::Status Explain(const Arguments& arguments) {
  const absl::StatusOr<Json> explained = Client(arguments.address).Explain(arguments.id);
  if (!arguments.timing || !explained.ok()) return Print(explained);
  return PrintTiming(*explained);
}

absl::Status Doctor(const Arguments& arguments) {
  const std::vector<Finding> findings =
      ExamineNode(CollectFacts({.config_path = arguments.config.value_or(kDefaultConfig),
                                .config_required = arguments.config.has_value(),
                                .address = arguments.address_given() ? arguments.address : ""}));
  if (arguments.json)
    absl::PrintF("%s\n", DumpJson(RenderJson(findings), 2));
  else
    absl::PrintF("%s", RenderText(findings));
  const int errors = Count(findings, Level::kError);
  if (errors == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(errors, errors == 1 ? " finding" : " findings",
                                                    " would keep pods from running"));
}

using Command = absl::Status (*)(const Arguments&);

int Main(int argc, char** argv) {
  CLI::App app("crisp: looks after a node that runs crispd");
  app.set_version_flag("--version", std::string("crisp ") + cri::kVersion);
  app.require_subcommand(1);
  app.fallthrough();
  Arguments arguments;
  Command chosen = nullptr;
  app.add_option("--address", arguments.address, "Socket of crispd")
      ->envname("CRISP_ADDRESS")
      ->capture_default_str();
  const auto add = [&](CLI::App* parent, const char* name, const char* help, Command command) {
    CLI::App* added = parent->add_subcommand(name, help);
    added->callback([&chosen, command] { chosen = command; });
    return added;
  };
  CLI::App* images = app.add_subcommand("images", "Images of the node");
  images->require_subcommand(1);
  add(images, "list", "List images", List);
  CLI::App* importing =
      add(images, "import", "Read images from an OCI layout or docker save archive", Import);
  importing->add_option("--name", arguments.name,
                        "A name for the one image in the archive, beside those it has");
  importing
      ->add_option("FILE", arguments.file,
                   "The archive, plain or compressed (gzip, zstd, xz, bzip2); an OCI layout's "
                   "directory; - for standard input")
      ->required();
  CLI::App* exporting = add(images, "export", "Write images into an archive", Export);
  exporting->add_option("-o,--output", arguments.file, "The archive (default: standard output)");
  exporting->add_option("IMAGE", arguments.references, "Names or ids")->required();
  add(images, "history", "Show the layers of an image and who uses them", History)
      ->add_option("IMAGE", arguments.id, "Name or id")
      ->required();
  CLI::App* explaining = add(&app, "explain", "Show what a container was started with", Explain);
  explaining->add_flag("--timing", arguments.timing, "Only how long the steps took; of a pod, too");
  explaining->add_option("ID", arguments.id, "Container (or pod) id or a prefix of it")->required();
  add(&app, "info", "Show the daemon's version, paths and counts",
      [](const Arguments& a) { return Print(Client(a.address).Info()); });
  CLI::App* doctor =
      add(&app, "doctor", "Check the node; say what to do about each finding", Doctor);
  doctor->add_flag("--json", arguments.json, "Print the findings as JSON");
  doctor->add_option("--config", arguments.config, "crispd's (default: /etc/crisp/config.yaml)");
  CLI11_PARSE(app, argc, argv);

  const absl::Status status = chosen(arguments);
  if (status.ok()) return 0;
  absl::FPrintF(stderr, "crisp: %s: %s\n", absl::StatusCodeToString(status.code()),
                std::string(status.message()));
  return 1;
}

}  // namespace
}  // namespace crisp::cli

int main(int argc, char** argv) { return crisp::cli::Main(argc, argv); }
