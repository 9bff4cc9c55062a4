#include "cli/commands/image_names.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "cli/client/verbose.h"
#include "cli/names/nearest.h"

namespace crisp::cli {
namespace {

namespace v1 = ::runtime::v1;

absl::Status NoImage(Client& client, const std::string& name) {
  CRISP_ASSIGN_OR_RETURN(const auto images, client.ListImages());
  std::vector<std::string> names;
  for (const v1::Image& image : images.images()) {
    for (const std::string& tag : image.repo_tags()) names.push_back(FamiliarName(tag));
  }
  return absl::NotFoundError(
      absl::StrCat("there is no image ", name, DidYouMean(FamiliarName(name), names)));
}

}  // namespace

std::string FamiliarName(absl::string_view tag) {
  if (!absl::ConsumePrefix(&tag, "docker.io/library/")) absl::ConsumePrefix(&tag, "docker.io/");
  absl::ConsumeSuffix(&tag, ":latest");
  return std::string(tag);
}

absl::StatusOr<v1::Image> FindImage(Client& client, const std::string& name, Json* info) {
  v1::ImageStatusRequest request;
  request.mutable_image()->set_image(name);
  request.set_verbose(info != nullptr);
  CRISP_ASSIGN_OR_RETURN(auto reply, client.Call(&Client::Images::ImageStatus, request));
  if (!reply.has_image()) return NoImage(client, name);
  if (info != nullptr) {
    CRISP_ASSIGN_OR_RETURN(*info, VerboseInfo(reply));
  }
  return reply.image();
}

}  // namespace crisp::cli
