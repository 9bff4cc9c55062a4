#include "network/bridge/bridge_claim.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp::network {
namespace {

constexpr char kLocks[] = "/run/crisp-bridges";
constexpr char kMark[] = "crisp ";

}  // namespace

absl::StatusOr<BridgeClaim> BridgeClaim::Take(const std::string& bridge) {
  struct stat netns {};
  if (stat("/proc/thread-self/ns/net", &netns) != 0)
    return ErrnoError(errno, "look at the network namespace");
  std::string path = absl::StrCat(kLocks, "/", bridge, "-", netns.st_ino);
  absl::Status made;
  absl::StatusOr<UniqueFd> lock = absl::UnavailableError("");
  // The folder may go in between, with the last claim of another instance.
  for (int tries = 0; tries < 3; ++tries) {
    made = MakeDirs(kLocks, 0700);
    if (!made.ok()) break;
    lock = Open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    made = lock.status();
    if (!absl::IsNotFound(made)) break;
  }
  if (!made.ok()) {
    LogWarning("network.unclaimed", {{"bridge", bridge}, {"error", made.message()}});
    return BridgeClaim("", UniqueFd());
  }
  if (flock(lock->get(), LOCK_EX | LOCK_NB) == 0) {
    // A reset may have removed the file between the two steps; what others find there now is
    // another one.
    struct stat locked {};
    if (fstat(lock->get(), &locked) == 0 && locked.st_nlink == 0) return Take(bridge);
    return BridgeClaim(std::move(path), *std::move(lock));
  }
  if (errno != EWOULDBLOCK) return ErrnoError(errno, absl::StrCat("lock ", path));
  return absl::FailedPreconditionError(
      absl::StrCat("another crispd of this node serves the bridge ", bridge,
                   ": give each instance a network.name of its own"));
}

void BridgeClaim::Remove() {
  if (!lock_) return;
  (void)unlink(path_.c_str());
  (void)rmdir(kLocks);  // unless other instances have theirs in it
}

std::string BridgeAlias(const std::string& state) { return absl::StrCat(kMark, state); }

absl::Status CheckBridgeAlias(const std::string& bridge,
                              const std::string& alias,
                              const std::string& state) {
  absl::string_view other = alias;
  if (!absl::ConsumePrefix(&other, kMark) || other == state) return absl::OkStatus();
  struct stat st {};
  // The state that is gone may have been moved; there is nothing left to come back to it.
  if (stat(absl::StrCat(other, "/pods.db").c_str(), &st) != 0 && errno == ENOENT)
    return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the bridge ", bridge, " is of the crispd that keeps its state in ", other,
                   ": give this one another network.name, or reset that one first"));
}

}  // namespace crisp::network
