#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "cli/commands/commands.h"

namespace crisp::cli {
namespace {

namespace v1 = ::runtime::v1;

// The daemon has limits of its own for pulls that stall.
constexpr absl::Duration kPull = absl::Hours(6);
constexpr size_t kMaxPassword = 64 << 10;

struct Flags {
  std::string image;
  bool quiet = false;
  std::string username;
  bool password_stdin = false;
};

absl::StatusOr<std::string> ReadPassword(std::istream& in) {
  std::string password(kMaxPassword + 1, '\0');
  in.read(password.data(), static_cast<std::streamsize>(password.size()));
  password.resize(static_cast<size_t>(in.gcount()));
  if (password.size() > kMaxPassword) {
    return absl::InvalidArgumentError("--password-stdin: more than 64 KiB are no password");
  }
  return std::string(absl::StripSuffix(absl::StripSuffix(password, "\n"), "\r"));
}

absl::Status Pull(const Flags& flags, Context& context) {
  if (flags.username.empty() == flags.password_stdin) {
    return absl::InvalidArgumentError("--username and --password-stdin go together");
  }
  v1::PullImageRequest request;
  request.mutable_image()->set_image(flags.image);
  if (!flags.username.empty()) {
    CRISP_ASSIGN_OR_RETURN(const std::string password, ReadPassword(context.in));
    request.mutable_auth()->set_username(flags.username);
    request.mutable_auth()->set_password(password);
  }
  CRISP_ASSIGN_OR_RETURN(const auto reply,
                         context.client.Call(&Client::Images::PullImage, request, kPull));
  if (!flags.quiet && context.terminal) context.err << "Pulled " << flags.image << "\n";
  context.out << reply.image_ref() << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddPull(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* pull = commands.Add(
      {.name = "pull",
       .help = "Pull an image",
       .examples = {"crisp pull busybox:1.36",
                    "crisp pull --username ci --password-stdin registry.example/app:1 <token"},
       .description = "Prints the id of the image. Without --username the daemon's own credentials "
                      "count: those of image.auth_files."},
      [flags](Context& context) { return Pull(*flags, context); });
  pull->add_flag("-q,--quiet", flags->quiet, "Only the id");
  pull->add_option("-u,--username", flags->username, "User of the registry")->type_name("NAME");
  pull->add_flag("--password-stdin", flags->password_stdin,
                 "Read the password from standard input");
  pull->add_option("IMAGE", flags->image, "Name, with a tag or a digest")->required();
}

}  // namespace crisp::cli
