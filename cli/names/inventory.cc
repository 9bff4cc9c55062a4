#include "cli/names/inventory.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "cli/client/labels.h"
#include "cli/names/nearest.h"

namespace crisp::cli {
namespace {

constexpr char kScheme[] = "crisp://";
constexpr size_t kMaxCandidates = 10;

const std::string& Id(const ContainerEntry& entry) { return entry.container.id(); }
const std::string& Id(const PodEntry& entry) { return entry.pod.id(); }

// The better one of two with the same name comes later in this order.
auto Rank(const ContainerEntry& entry) {
  return std::make_tuple(entry.running(), entry.container.metadata().attempt(),
                         entry.container.created_at());
}
auto Rank(const PodEntry& entry) {
  return std::make_tuple(entry.ready(), entry.pod.metadata().attempt(), entry.pod.created_at());
}

// Null if none has the name.
template <typename Entry>
const Entry* ByName(const std::vector<Entry>& entries, absl::string_view name) {
  const Entry* best = nullptr;
  for (const Entry& entry : entries) {
    if (entry.name() == name && (best == nullptr || Rank(*best) < Rank(entry))) best = &entry;
  }
  return best;
}

template <typename Entry>
std::vector<const Entry*> ByPrefix(const std::vector<Entry>& entries, absl::string_view prefix) {
  std::vector<const Entry*> found;
  for (const Entry& entry : entries) {
    if (Id(entry) == prefix) return {&entry};
    if (absl::StartsWith(Id(entry), prefix)) found.push_back(&entry);
  }
  return found;
}

template <typename Entry>
void AppendCandidates(const std::vector<const Entry*>& found, std::string* text) {
  for (size_t i = 0; i < found.size() && i < kMaxCandidates; ++i) {
    absl::StrAppend(text, "\n  ", Id(*found[i]), "  ", found[i]->name());
  }
  if (found.size() > kMaxCandidates) {
    absl::StrAppend(text, "\n  and ", found.size() - kMaxCandidates, " more");
  }
}

absl::Status Ambiguous(absl::string_view text, const std::string& candidates) {
  return absl::InvalidArgumentError(absl::StrCat("several ids begin with ", text, ":", candidates));
}

// The names, and what stands behind their last slash, for a person may have left the rest out.
template <typename Entry>
absl::Status NotFound(absl::string_view what,
                      absl::string_view text,
                      const std::vector<Entry>& entries) {
  std::vector<std::string> names;
  std::map<std::string, std::string> whole;
  for (const Entry& entry : entries) {
    const std::string name = entry.name();
    names.push_back(name);
    whole.emplace(name, name);
    const std::string last = name.substr(name.rfind('/') + 1);
    if (whole.emplace(last, name).second) names.push_back(last);
  }
  const std::string nearest = Nearest(text, names);
  return absl::NotFoundError(
      absl::StrCat("there is no ", what, " ", text,
                   nearest.empty() ? "" : absl::StrCat(": did you mean ", whole[nearest], "?")));
}

template <typename Entry>
absl::StatusOr<Entry> FindIn(const std::vector<Entry>& entries,
                             absl::string_view what,
                             const std::string& text) {
  absl::string_view id = text;
  const bool only_id = absl::ConsumePrefix(&id, kScheme);
  if (id.empty()) return absl::InvalidArgumentError(absl::StrCat("an empty name of a ", what));
  const auto found = ByPrefix(entries, id);
  if (found.size() == 1 && Id(*found[0]) == id) return *found[0];
  if (!only_id) {
    if (const Entry* named = ByName(entries, id)) return *named;
  }
  if (found.size() == 1) return *found[0];
  if (found.empty()) return NotFound(what, text, entries);
  std::string candidates;
  AppendCandidates(found, &candidates);
  return Ambiguous(text, candidates);
}

}  // namespace

const std::string& IdOf(const Subject& subject) {
  if (const auto* container = std::get_if<ContainerEntry>(&subject)) {
    return container->container.id();
  }
  return std::get<PodEntry>(subject).pod.id();
}

bool PodEntry::of_run() const { return pod.labels().contains(kRunLabel); }

std::string PodEntry::name() const {
  if (of_run()) return pod.metadata().name();
  return absl::StrCat(pod.metadata().namespace_(), "/", pod.metadata().name());
}

std::string ContainerEntry::name() const {
  if (pod.of_run()) return pod.name();
  return absl::StrCat(pod.name(), "/", container.metadata().name());
}

Inventory::Inventory(std::vector<PodEntry> pods, std::vector<ContainerEntry> containers)
    : pods_(std::move(pods)), containers_(std::move(containers)) {}

absl::StatusOr<Inventory> Inventory::Read(Client& client) {
  // Containers first: a pod outlives its containers.
  CRISP_ASSIGN_OR_RETURN(
      const auto containers,
      client.Call(&Client::Runtime::ListContainers, ::runtime::v1::ListContainersRequest()));
  CRISP_ASSIGN_OR_RETURN(const auto pods, client.Call(&Client::Runtime::ListPodSandbox,
                                                      ::runtime::v1::ListPodSandboxRequest()));
  std::map<std::string, PodEntry> by_id;
  std::vector<PodEntry> pod_entries;
  for (const auto& pod : pods.items()) {
    by_id[pod.id()] = {pod};
    pod_entries.push_back({pod});
  }
  std::vector<ContainerEntry> entries;
  for (const auto& container : containers.containers()) {
    const auto pod = by_id.find(container.pod_sandbox_id());
    entries.push_back({container, pod == by_id.end() ? PodEntry() : pod->second});
  }
  return Inventory(std::move(pod_entries), std::move(entries));
}

absl::StatusOr<ContainerEntry> Inventory::FindContainer(const std::string& text) const {
  return FindIn(containers_, "container", text);
}

absl::StatusOr<PodEntry> Inventory::FindPod(const std::string& text) const {
  return FindIn(pods_, "pod", text);
}

absl::StatusOr<Subject> Inventory::Find(const std::string& text) const {
  absl::StatusOr<ContainerEntry> container = FindContainer(text);
  absl::StatusOr<PodEntry> pod = FindPod(text);
  if (!container.ok() && container.status().code() != absl::StatusCode::kNotFound) {
    return container.status();
  }
  if (!container.ok()) {
    if (pod.ok()) return Subject(*std::move(pod));
    // A pod's error is worth more if it knows candidates.
    return absl::IsNotFound(pod.status()) ? container.status() : pod.status();
  }
  // A name is the container's. A prefix must be of one only.
  const absl::string_view id = absl::StripPrefix(text, kScheme);
  if (container->container.id() == id || (container->name() == text)) {
    return Subject(*std::move(container));
  }
  if (!pod.ok() && absl::IsNotFound(pod.status())) return Subject(*std::move(container));
  if (!pod.ok()) return pod.status();
  if (pod->pod.id() == id || pod->name() == text) return Subject(*std::move(pod));
  std::string candidates;
  AppendCandidates<ContainerEntry>({&*container}, &candidates);
  AppendCandidates<PodEntry>({&*pod}, &candidates);
  return Ambiguous(text, candidates);
}

std::vector<ContainerEntry> Inventory::ContainersOf(const std::string& pod_id) const {
  std::vector<ContainerEntry> found;
  std::copy_if(containers_.begin(), containers_.end(), std::back_inserter(found),
               [&](const ContainerEntry& e) { return e.container.pod_sandbox_id() == pod_id; });
  return found;
}

absl::StatusOr<ContainerEntry> ResolveContainer(Client& client, const std::string& text) {
  CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(client));
  return inventory.FindContainer(text);
}

absl::StatusOr<Subject> Resolve(Client& client, const std::string& text) {
  CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(client));
  return inventory.Find(text);
}

}  // namespace crisp::cli
