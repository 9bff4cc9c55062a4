#include "cli/doctor/doctor.h"

#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/doctor/doctor_collect.h"

namespace crisp::cli {
namespace {

constexpr char kDefaultConfig[] = "/etc/crisp/config.yaml";

struct Flags {
  bool json = false;
  std::optional<std::string> config;
};

absl::Status Doctor(const Flags& flags, Context& context) {
  const Endpoint& endpoint = context.client.endpoint();
  const std::vector<Finding> findings =
      ExamineNode(CollectFacts({.config_path = flags.config.value_or(kDefaultConfig),
                                .config_required = flags.config.has_value(),
                                .address = endpoint.chosen ? endpoint.address() : ""}));
  if (flags.json)
    context.out << DumpJson(RenderJson(findings), 2) << "\n";
  else
    context.out << RenderText(findings);
  const int errors = Count(findings, Level::kError);
  if (errors == 0) return absl::OkStatus();
  context.exit_code = 1;
  return absl::FailedPreconditionError(absl::StrCat(errors, errors == 1 ? " finding" : " findings",
                                                    " would keep pods from running"));
}

}  // namespace

void AddDoctor(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* doctor = commands.Add(
      {.name = "doctor",
       .help = "Check the node; say what to do about each finding",
       .examples = {"crisp doctor", "crisp doctor --json"},
       .description =
           "Checks the machine, the kubelet's configuration and the daemon. The exit status "
           "is 1 if something would keep pods from running."},
      [flags](Context& context) { return Doctor(*flags, context); });
  doctor->add_flag("--json", flags->json, "Print the findings as JSON");
  doctor->add_option("--config", flags->config, "crispd's (default: /etc/crisp/config.yaml)");
}

}  // namespace crisp::cli
