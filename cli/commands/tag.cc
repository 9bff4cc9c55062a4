#include <memory>
#include <string>

#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/image_names.h"

namespace crisp::cli {
namespace {

struct Flags {
  std::string image;
  std::string name;
};

absl::Status Tag(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const ::runtime::v1::Image image, FindImage(context.client, flags.image));
  ::crisp::v1::TagImageRequest request;
  request.set_reference(image.id());
  request.set_name(flags.name);
  CRISP_ASSIGN_OR_RETURN(const auto reply, context.client.Call(&Client::Admin::TagImage, request));
  context.out << reply.name() << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddTag(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* tag = commands.Add({.name = "tag",
                                .help = "Give an image one more name",
                                .examples = {"crisp tag app:1 registry.example/app:stable"},
                                .description = "An image that had the name loses it."},
                               [flags](Context& context) { return Tag(*flags, context); });
  tag->add_option("IMAGE", flags->image, "Name or id")->required();
  tag->add_option("NAME", flags->name, "The new name, with a tag (default: latest)")->required();
}

}  // namespace crisp::cli
