#include "runtime/oci/user_lookup.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMaxLine = 256u << 10;
constexpr size_t kMaxGroups = 65536;  // the kernel's NGROUPS_MAX

struct PasswdEntry {
  std::string name;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string home;
};

// Fields of one line at a time, so that a file of one million members costs no more than itself.
void ForEachLine(absl::string_view text,
                 const std::function<bool(const std::vector<absl::string_view>&)>& visit) {
  text = text.substr(0, kMaxAccountFile);
  while (!text.empty()) {
    const size_t end = text.find('\n');
    absl::string_view line = absl::StripTrailingAsciiWhitespace(text.substr(0, end));
    text = end == absl::string_view::npos ? absl::string_view() : text.substr(end + 1);
    if (line.empty() || line[0] == '#' || line.size() > kMaxLine) continue;
    if (!visit(absl::StrSplit(line, ':'))) return;
  }
}

std::optional<PasswdEntry> FindPasswd(absl::string_view passwd,
                                      const std::function<bool(const PasswdEntry&)>& wanted) {
  std::optional<PasswdEntry> found;
  ForEachLine(passwd, [&](const std::vector<absl::string_view>& fields) {
    if (fields.size() < 4 || fields[0].empty()) return true;
    std::optional<uint32_t> uid = ParseId(fields[2]), gid = ParseId(fields[3]);
    if (!uid.has_value() || !gid.has_value()) return true;
    PasswdEntry entry{.name = std::string(fields[0]), .uid = *uid, .gid = *gid};
    if (fields.size() > 5) entry.home = std::string(fields[5]);
    if (!wanted(entry)) return true;
    found = std::move(entry);
    return false;
  });
  return found;
}

absl::StatusOr<uint32_t> FindGroup(absl::string_view group, absl::string_view name) {
  std::optional<uint32_t> found;
  ForEachLine(group, [&](const std::vector<absl::string_view>& fields) {
    if (fields.size() >= 3 && fields[0] == name) found = ParseId(fields[2]);
    return !found.has_value();
  });
  if (found.has_value()) return *found;
  return absl::InvalidArgumentError(
      absl::StrCat("group \"", name, "\" is not in the image's /etc/group"));
}

std::vector<uint32_t> GroupsOf(absl::string_view group, absl::string_view user) {
  std::vector<uint32_t> gids;
  if (user.empty()) return gids;
  ForEachLine(group, [&](const std::vector<absl::string_view>& fields) {
    if (fields.size() < 4) return true;
    std::optional<uint32_t> gid = ParseId(fields[2]);
    if (!gid.has_value()) return true;
    for (absl::string_view member : absl::StrSplit(fields[3], ',')) {
      if (member != user) continue;
      gids.push_back(*gid);
      break;
    }
    return gids.size() < kMaxGroups;
  });
  return gids;
}

absl::StatusOr<uint32_t> CheckId(absl::string_view what, int64_t id) {
  if (id < 0 || id > int64_t{kMaxId}) {
    return absl::InvalidArgumentError(absl::StrCat(what, " ", id, " is out of range"));
  }
  return static_cast<uint32_t>(id);
}

absl::StatusOr<uint32_t> ParseIdOrFail(absl::string_view what, absl::string_view text) {
  std::optional<uint32_t> id = ParseId(text);
  if (id.has_value()) return *id;
  return absl::InvalidArgumentError(absl::StrCat(what, " \"", text, "\" is out of range"));
}

void TakeEntry(const std::optional<PasswdEntry>& entry, ResolvedUser& user) {
  if (!entry.has_value()) return;
  user.name = entry->name;
  user.gid = entry->gid;
  if (!entry->home.empty() && entry->home[0] == '/') user.home = entry->home;
}

void FillById(uint32_t uid, const AccountFiles& files, ResolvedUser& user) {
  user.uid = uid;
  TakeEntry(FindPasswd(files.passwd, [uid](const PasswdEntry& e) { return e.uid == uid; }), user);
}

absl::Status FillByText(absl::string_view text, const AccountFiles& files, ResolvedUser& user) {
  if (LooksNumeric(text)) {
    CRISP_ASSIGN_OR_RETURN(uint32_t uid, ParseIdOrFail("user", text));
    FillById(uid, files, user);
    return absl::OkStatus();
  }
  std::optional<PasswdEntry> entry =
      FindPasswd(files.passwd, [text](const PasswdEntry& e) { return e.name == text; });
  if (!entry.has_value() && text == "root") entry = PasswdEntry{.name = "root", .home = "/root"};
  if (!entry.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("user \"", text, "\" is not in the image's /etc/passwd"));
  }
  user.uid = entry->uid;
  TakeEntry(entry, user);
  return absl::OkStatus();
}

absl::Status FillByImage(absl::string_view image_user,
                         const AccountFiles& files,
                         ResolvedUser& user) {
  std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(image_user, absl::MaxSplits(':', 1));
  if (parts.first.empty())
    FillById(0, files, user);
  else
    CRISP_RETURN_IF_ERROR(FillByText(parts.first, files, user));
  if (parts.second.empty()) return absl::OkStatus();
  if (LooksNumeric(parts.second)) {
    CRISP_ASSIGN_OR_RETURN(user.gid, ParseIdOrFail("group", parts.second));
  } else {
    CRISP_ASSIGN_OR_RETURN(user.gid, FindGroup(files.group, parts.second));
  }
  return absl::OkStatus();
}

absl::Status FillUser(const UserRequest& request, const AccountFiles& files, ResolvedUser& user) {
  if (request.run_as_user.has_value()) {
    CRISP_ASSIGN_OR_RETURN(uint32_t uid, CheckId("run_as_user", *request.run_as_user));
    FillById(uid, files, user);
    return absl::OkStatus();
  }
  if (!request.run_as_username.empty()) return FillByText(request.run_as_username, files, user);
  return FillByImage(request.image_user, files, user);
}

}  // namespace

std::optional<uint32_t> ParseId(absl::string_view text) {
  if (text.empty() || text.size() > 20) return std::nullopt;
  if (!std::all_of(text.begin(), text.end(), absl::ascii_isdigit)) return std::nullopt;
  uint64_t id = 0;
  if (!absl::SimpleAtoi(text, &id) || id > kMaxId) return std::nullopt;
  return static_cast<uint32_t>(id);
}

bool LooksNumeric(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

absl::StatusOr<ResolvedUser> ResolveUser(const UserRequest& request, const AccountFiles& files) {
  if (request.run_as_group.has_value() && !request.run_as_user.has_value() &&
      request.run_as_username.empty()) {
    return absl::InvalidArgumentError("run_as_group is given without a user");
  }
  ResolvedUser user;
  CRISP_RETURN_IF_ERROR(FillUser(request, files, user));
  if (request.run_as_group.has_value()) {
    CRISP_ASSIGN_OR_RETURN(user.gid, CheckId("run_as_group", *request.run_as_group));
  }
  std::set<uint32_t> groups = {user.gid};
  for (int64_t gid : request.supplemental_groups) {
    CRISP_ASSIGN_OR_RETURN(uint32_t checked, CheckId("supplemental group", gid));
    groups.insert(checked);
  }
  if (request.policy == GroupsPolicy::kMerge) {
    for (uint32_t gid : GroupsOf(files.group, user.name)) groups.insert(gid);
  }
  if (groups.size() > kMaxGroups)
    return absl::InvalidArgumentError("too many supplementary groups");
  user.groups.assign(groups.begin(), groups.end());
  return user;
}

}  // namespace crisp::runtime
