#ifndef CRISP_CLI_NAMES_INVENTORY_H_
#define CRISP_CLI_NAMES_INVENTORY_H_

#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/client/client.h"
#include "cri/api/api.pb.h"

namespace crisp::cli {

struct PodEntry {
  ::runtime::v1::PodSandbox pod;

  // True if `crisp run` made it.
  bool of_run() const;
  bool ready() const { return pod.state() == ::runtime::v1::SANDBOX_READY; }
  // "web" for one of `crisp run`, else "namespace/pod".
  std::string name() const;
};

struct ContainerEntry {
  ::runtime::v1::Container container;
  PodEntry pod;  // Empty if the pod went between the two lists.

  bool running() const { return container.state() == ::runtime::v1::CONTAINER_RUNNING; }
  // "web" for one of `crisp run`, else "namespace/pod/container".
  std::string name() const;
};

// What was found by a name or an id. Exactly one is set.
using Subject = std::variant<ContainerEntry, PodEntry>;
const std::string& IdOf(const Subject& subject);

// The node's pods and containers with their names, as they were at one moment.
//
// A container is named by the name that `crisp run` gave it, by namespace/pod/container, by its id,
// by a prefix of the id that no other has, or by crisp://ID. A pod is named by namespace/pod or by
// its id likewise. A name that several containers of a pod have, for it was restarted, is the one's
// that runs, else the youngest one's.
//
// Each Find… returns NotFound with the nearest name, and InvalidArgument with the candidates for a
// prefix that several have.
class Inventory {
 public:
  // Asks the daemon for both lists. The errors are Client::Call's.
  static absl::StatusOr<Inventory> Read(Client& client);
  Inventory(std::vector<PodEntry> pods, std::vector<ContainerEntry> containers);

  absl::StatusOr<ContainerEntry> FindContainer(const std::string& text) const;
  absl::StatusOr<PodEntry> FindPod(const std::string& text) const;
  // A container, else a pod.
  absl::StatusOr<Subject> Find(const std::string& text) const;

  const std::vector<PodEntry>& pods() const { return pods_; }
  const std::vector<ContainerEntry>& containers() const { return containers_; }
  // The containers of a pod.
  std::vector<ContainerEntry> ContainersOf(const std::string& pod_id) const;

 private:
  std::vector<PodEntry> pods_;
  std::vector<ContainerEntry> containers_;
};

// For commands that take one container.
absl::StatusOr<ContainerEntry> ResolveContainer(Client& client, const std::string& text);
absl::StatusOr<Subject> Resolve(Client& client, const std::string& text);

}  // namespace crisp::cli

#endif  // CRISP_CLI_NAMES_INVENTORY_H_
