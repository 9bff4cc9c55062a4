#include "runtime/lsm/selinux_store.h"

#include <selinux/selinux.h>
#include <sys/xattr.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp::runtime {
namespace {

constexpr char kStandard[] = "system_u:object_r:container_ro_file_t:s0";

std::string LabelOf(const std::string& path) {
  char label[1024];
  const ssize_t size = ::lgetxattr(path.c_str(), "security.selinux", label, sizeof(label));
  return size < 0 ? "" : std::string(label, ::strnlen(label, static_cast<size_t>(size)));
}

// A policy that has no such type keeps layers under that of all files, with no categories.
std::string ChooseLabel(const SelinuxHost& host) {
  const char* const path = ::selinux_lxc_contexts_path();
  const std::string named =
      path == nullptr ? "" : SharedFileContext(ReadFile(path, 1u << 16).value_or(""));
  for (const std::string& label : {named, std::string(kStandard)}) {
    if (!label.empty() && CheckSelinuxContext(label).ok()) return label;
  }
  return host.defaults.file.ToString();
}

}  // namespace

std::string SharedFileContext(absl::string_view lxc_contexts) {
  for (const absl::string_view line : absl::StrSplit(lxc_contexts, '\n')) {
    const std::vector<absl::string_view> halves = absl::StrSplit(line, absl::MaxSplits('=', 1));
    if (halves.size() < 2 || absl::StripAsciiWhitespace(halves[0]) != "ro_file") continue;
    absl::string_view value = absl::StripAsciiWhitespace(halves[1]);
    if (absl::ConsumePrefix(&value, "\"")) absl::ConsumeSuffix(&value, "\"");
    return ParseSelinuxContext(value).ok() ? std::string(value) : "";
  }
  return "";
}

absl::Status LabelStores(const std::vector<std::string>& directories, const SelinuxHost& host) {
  if (!host.enabled || host.off || !host.unusable.empty()) return absl::OkStatus();
  const std::string label = ChooseLabel(host);
  for (const std::string& path : directories) {
    CRISP_RETURN_IF_ERROR(MakeDirs(path, 0700));
    CRISP_RETURN_IF_ERROR(LabelStore(path, label));
  }
  return absl::OkStatus();
}

absl::Status LabelStore(const std::string& path, const std::string& label) {
  if (LabelOf(path) == label) return absl::OkStatus();
  CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(path));
  for (const std::string& name : names) {
    CRISP_RETURN_IF_ERROR(RelabelTree(absl::StrCat(path, "/", name), label));
  }
  return SetSelinuxLabel(path, label);
}

}  // namespace crisp::runtime
