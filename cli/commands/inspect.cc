#include <google/protobuf/util/json_util.h>

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/client/verbose.h"
#include "cli/commands/commands.h"
#include "cli/commands/image_names.h"
#include "cli/format/yaml.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

namespace v1 = ::runtime::v1;

struct Flags {
  std::vector<std::string> targets;
  std::string output = "json";
  std::string type;  // container, pod, image; empty: what is found first
};

absl::StatusOr<Json> ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) return absl::InternalError(std::string(status.message()));
  return ParseJson(text, {.max_bytes = kMaxDocument});
}

// {"type": …, "status": the CRI's message, "info": the daemon's document}.
absl::StatusOr<Json> Document(const char* type,
                              const google::protobuf::Message& status,
                              absl::StatusOr<Json> info) {
  CRISP_RETURN_IF_ERROR(info.status());
  CRISP_ASSIGN_OR_RETURN(Json json, ToJson(status));
  return Json{{"type", type}, {"status", std::move(json)}, {"info", *std::move(info)}};
}

absl::StatusOr<Json> OfContainer(Client& client, const std::string& id) {
  v1::ContainerStatusRequest request;
  request.set_container_id(id);
  request.set_verbose(true);
  CRISP_ASSIGN_OR_RETURN(const auto reply, client.Call(&Client::Runtime::ContainerStatus, request));
  return Document("container", reply.status(), VerboseInfo(reply));
}

absl::StatusOr<Json> OfPod(Client& client, const std::string& id) {
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(id);
  request.set_verbose(true);
  CRISP_ASSIGN_OR_RETURN(const auto reply,
                         client.Call(&Client::Runtime::PodSandboxStatus, request));
  return Document("pod", reply.status(), VerboseInfo(reply));
}

absl::StatusOr<Json> OfImage(Client& client, const std::string& name) {
  Json info;
  CRISP_ASSIGN_OR_RETURN(const v1::Image image, FindImage(client, name, &info));
  return Document("image", image, info);
}

absl::StatusOr<Json> InspectOne(const std::string& target,
                                const Flags& flags,
                                const Inventory& inventory,
                                Client& client) {
  if (flags.type == "image") return OfImage(client, target);
  if (flags.type == "pod") {
    CRISP_ASSIGN_OR_RETURN(const PodEntry pod, inventory.FindPod(target));
    return OfPod(client, pod.pod.id());
  }
  if (flags.type == "container") {
    CRISP_ASSIGN_OR_RETURN(const ContainerEntry entry, inventory.FindContainer(target));
    return OfContainer(client, entry.container.id());
  }
  const absl::StatusOr<Subject> subject = inventory.Find(target);
  if (absl::IsNotFound(subject.status())) {
    absl::StatusOr<Json> image = OfImage(client, target);
    if (image.ok() || !absl::IsNotFound(image.status())) return image;
    return absl::NotFoundError(absl::StrCat(std::string(subject.status().message()), "; ",
                                            std::string(image.status().message())));
  }
  CRISP_RETURN_IF_ERROR(subject.status());
  const bool pod = std::holds_alternative<PodEntry>(*subject);
  return pod ? OfPod(client, IdOf(*subject)) : OfContainer(client, IdOf(*subject));
}

absl::Status Inspect(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(context.client));
  Json documents = Json::array();
  absl::Status failed;
  for (const std::string& target : flags.targets) {
    absl::StatusOr<Json> document = InspectOne(target, flags, inventory, context.client);
    if (!document.ok()) {
      failed = absl::UnknownError("");
      context.err << "crisp: " << document.status().message() << "\n";
      continue;
    }
    documents.push_back(*std::move(document));
  }
  if (flags.output == "yaml")
    context.out << DumpYaml(documents);
  else
    context.out << DumpJson(documents, 2) << "\n";
  return failed;
}

}  // namespace

void AddInspect(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* inspect = commands.Add(
      {.name = "inspect",
       .help = "Show all that is known of containers, pods or images",
       .examples = {"crisp inspect web", "crisp inspect --type image -o yaml app:1"},
       .description =
           "Prints a list with a document for each: its status as the CRI has it, and what the "
           "daemon knows beyond it. A name is looked for among containers, then pods, then "
           "images."},
      [flags](Context& context) { return Inspect(*flags, context); });
  inspect->add_option("-o,--output", flags->output, "json or yaml")
      ->type_name("FORM")
      ->check(CLI::IsMember({"json", "yaml"}));
  inspect->add_option("--type", flags->type, "container, pod or image")
      ->type_name("TYPE")
      ->check(CLI::IsMember({"container", "pod", "image"}));
  inspect->add_option("TARGET", flags->targets, "Names or ids")->required();
}

}  // namespace crisp::cli
