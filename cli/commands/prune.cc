#include <algorithm>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/life.h"
#include "cli/commands/targets.h"
#include "cli/format/human.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

namespace v1 = ::runtime::v1;

struct Flags {
  bool force = false;
  bool all = false;
};

// What is to go.
struct Plan {
  std::vector<PodEntry> pods;
  std::vector<v1::Image> images;
};

// The pods of crisp run in which nothing runs or is about to, and the images that nobody names.
Plan MakePlan(const Inventory& inventory, const v1::ListImagesResponse& images, bool all) {
  Plan plan;
  std::set<std::string> used;
  for (const PodEntry& pod : inventory.pods()) {
    const std::vector<ContainerEntry> containers = inventory.ContainersOf(pod.pod.id());
    const bool over = std::all_of(containers.begin(), containers.end(), [](const auto& entry) {
      return entry.container.state() == v1::CONTAINER_EXITED;
    });
    // A pod without a container may be one that crisp run is making.
    if (pod.of_run() && !containers.empty() && over) {
      plan.pods.push_back(pod);
      continue;
    }
    for (const ContainerEntry& entry : containers) used.insert(entry.container.image_id());
  }
  for (const v1::Image& image : images.images()) {
    const bool unwanted = all || image.repo_tags().empty();
    if (unwanted && !image.pinned() && used.count(image.id()) == 0) plan.images.push_back(image);
  }
  return plan;
}

std::string NameOf(const v1::Image& image) {
  return image.repo_tags().empty() ? ShortId(image.id()) : image.repo_tags(0);
}

absl::Status Ask(const Plan& plan, Context& context) {
  for (const PodEntry& pod : plan.pods) context.err << "container  " << pod.name() << "\n";
  for (const v1::Image& image : plan.images) {
    context.err << "image      " << NameOf(image) << "  " << HumanBytes(image.size()) << "\n";
  }
  if (!context.can_ask) {
    return absl::FailedPreconditionError(
        "standard input is no terminal to ask at: give -f to remove these");
  }
  context.err << "Remove these? [y/N] " << std::flush;
  std::string answer;
  std::getline(context.in, answer);
  answer = absl::AsciiStrToLower(answer);
  if (answer == "y" || answer == "yes") return absl::OkStatus();
  return absl::CancelledError("nothing was removed");
}

absl::Status Prune(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(context.client));
  CRISP_ASSIGN_OR_RETURN(const auto images, context.client.ListImages());
  const Plan plan = MakePlan(inventory, images, flags.all);
  if (plan.pods.empty() && plan.images.empty()) {
    context.err << "There is nothing to remove.\n";
    return absl::OkStatus();
  }
  if (!flags.force) CRISP_RETURN_IF_ERROR(Ask(plan, context));
  std::vector<std::string> names;
  std::vector<std::function<absl::Status()>> removals;
  for (const PodEntry& pod : plan.pods) {
    names.push_back(pod.name());
    removals.push_back([&] { return RemovePod(context.client, pod.pod.id()); });
  }
  for (const v1::Image& image : plan.images) {
    names.push_back(NameOf(image));
    removals.push_back([&] {
      v1::RemoveImageRequest request;
      request.mutable_image()->set_image(image.id());
      return context.client.Call(&Client::Images::RemoveImage, request, kSlow).status();
    });
  }
  size_t next = 0;
  return ForEachTarget(names, context, [&](const std::string&) { return removals[next++](); });
}

}  // namespace

void AddPrune(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* prune = commands.Add(
      {.name = "prune",
       .help = "Remove exited containers of crisp run and images without a name",
       .examples = {"crisp prune", "crisp prune -f --all"},
       .description =
           "Asks before it removes anything. The kubelet's containers are never removed: it "
           "does that by itself."},
      [flags](Context& context) { return Prune(*flags, context); });
  prune->add_flag("-f,--force", flags->force, "Do not ask");
  prune->add_flag("-a,--all", flags->all,
                  "All images that no container stands on, except pinned ones");
}

}  // namespace crisp::cli
