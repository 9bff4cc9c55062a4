#ifndef CRISP_CLI_EXPLAIN_EXPLAIN_COLLECT_H_
#define CRISP_CLI_EXPLAIN_EXPLAIN_COLLECT_H_

#include <string>

#include "absl/status/statusor.h"
#include "cli/client/client.h"
#include "cli/explain/explain_facts.h"
#include "cli/names/inventory.h"

namespace crisp::cli {

// Asks the daemon and the kernel about one container, without changing anything. It reads nothing
// that the container can change: /proc of the node, cgroups, links. An error is the daemon's about
// the container itself; what else cannot be found out is left out. As root it finds all.
absl::StatusOr<ExplainFacts> CollectContainer(Client& client,
                                              const Inventory& inventory,
                                              const ContainerEntry& entry);

// The same about a pod: what its containers share.
absl::StatusOr<ExplainFacts> CollectPod(Client& client,
                                        const Inventory& inventory,
                                        const PodEntry& entry);

// Parts that only read. `proc` is /proc.
std::vector<NamespaceFact> CollectNamespaces(const std::string& proc, int64_t pid);
std::vector<IdMapFact> ParseIdMap(const std::string& text);
// The link of the pod whose network namespace the process is in.
void CollectLink(int64_t pid, NetworkFact* fact);

}  // namespace crisp::cli

#endif  // CRISP_CLI_EXPLAIN_EXPLAIN_COLLECT_H_
