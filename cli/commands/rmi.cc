#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/image_names.h"
#include "cli/commands/targets.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

namespace v1 = ::runtime::v1;

struct Flags {
  std::vector<std::string> images;
  bool force = false;
};

// True if `name` is one of several tags of the image, in full or as people write it.
bool IsOneOfSeveral(const v1::Image& image, const std::string& name) {
  return image.repo_tags_size() > 1 &&
         std::any_of(image.repo_tags().begin(), image.repo_tags().end(), [&](const auto& tag) {
           return tag == name || FamiliarName(tag) == FamiliarName(name);
         });
}

absl::Status CheckUnused(const v1::Image& image, const std::string& name, Client& client) {
  CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(client));
  for (const ContainerEntry& entry : inventory.containers()) {
    if (entry.container.image_id() != image.id()) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(name, " is used by ", entry.name(),
                     ": remove that container first, or give -f: the container stays then"));
  }
  return absl::OkStatus();
}

absl::Status RemoveOne(const std::string& name, const Flags& flags, Client& client) {
  const absl::StatusOr<v1::Image> image = FindImage(client, name);
  if (flags.force && absl::IsNotFound(image.status())) return absl::OkStatus();
  CRISP_RETURN_IF_ERROR(image.status());
  if (IsOneOfSeveral(*image, name)) {
    ::crisp::v1::UntagImageRequest request;
    request.set_name(name);
    return client.Call(&Client::Admin::UntagImage, request).status();
  }
  if (!flags.force) CRISP_RETURN_IF_ERROR(CheckUnused(*image, name, client));
  v1::RemoveImageRequest request;
  request.mutable_image()->set_image(image->id());
  return client.Call(&Client::Images::RemoveImage, request, kSlow).status();
}

}  // namespace

void AddRmi(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* rmi = commands.Add(
      {.name = "rmi",
       .help = "Remove images",
       .examples = {"crisp rmi app:1", "crisp rmi $(crisp images -q --filter dangling=true)"},
       .description =
           "A tag that is one of several is taken from its image, which stays. An image goes by "
           "its last tag, or by its id, with all its names. One that a container stands on "
           "needs -f; the container goes on."},
      [flags](Context& context) {
        return ForEachTarget(flags->images, context, [&](const std::string& image) {
          return RemoveOne(image, *flags, context.client);
        });
      });
  rmi->add_flag("-f,--force", flags->force,
                "Also images that are in use; what is not there is no error");
  rmi->add_option("IMAGE", flags->images, "Names or ids")->required();
}

}  // namespace crisp::cli
