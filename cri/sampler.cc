// The readings that statistics compare with, and the counters that nobody asks for in time.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/time/clock.h"
#include "cri/pod_manager.h"
#include "runtime/cgroup_stats.h"

namespace crisp::cri {

void PodManager::ArmSampler() {
  if (sampler_armed_.exchange(true)) return;
  quick_.PostAt(absl::Now() + options_.sample_period, [this] { SampleAll(); });
}

void PodManager::SampleAll() {
  // Disarmed before the look at the pods: one that comes after it arms the sampler itself.
  sampler_armed_ = false;
  absl::flat_hash_set<const Pod*> busy;
  for (const PodPtr& pod : pods_.All()) {
    if (!pod->Ready()) continue;
    const auto usage = runtime::ReadCpuUsageNs(CgroupAt(pod->Snapshot()->cgroup_path()));
    absl::MutexLock lock(&pod->mutex);
    if (!usage.ok() || !pod->cpu.Says(*usage)) busy.insert(pod.get());
    if (usage.ok()) pod->cpu.Add(absl::Now(), *usage);
  }
  std::vector<std::string> written;
  for (const ContainerPtr& container : containers_.All()) {
    // Where nothing has run nothing has been written, nor killed for want of memory.
    if (busy.contains(container->pod.get())) SampleOne(*container);
    absl::MutexLock lock(&container->mutex);
    if (std::exchange(container->written, false)) written.push_back(container->id);
  }
  if (!written.empty()) {
    cleanup_.Post([this, written = std::move(written)] { images_->MeasureContainers(written); });
  }
  TrimSoon();
  if (pods_.size() > 0) ArmSampler();
}

void PodManager::SampleOne(Container& container) {
  if (container.Stage() != state::ContainerRecord::RUNNING) return;
  const runtime::Cgroup group = CgroupAt(container.Snapshot()->cgroup_path());
  const auto usage = runtime::ReadCpuUsageNs(group);
  const auto kills = group.OomKills();
  absl::MutexLock lock(&container.mutex);
  if (!usage.ok() || !container.cpu.Says(*usage)) container.written = true;
  if (usage.ok()) container.cpu.Add(absl::Now(), *usage);
  if (!kills.ok()) return;
  // What an earlier daemon has counted is not counted again.
  oom_kills_ += *kills - std::min(*kills, container.oom_kills_seen.value_or(*kills));
  container.oom_kills_seen = *kills;
}

void PodManager::CountLastOomKills(Container& container, uint64_t total) {
  absl::MutexLock lock(&container.mutex);
  oom_kills_ += total - std::min(total, container.oom_kills_seen.value_or(0));
  container.oom_kills_seen = total;
}

int PodManager::PodsThat(bool are_ready) const {
  int count = 0;
  for (const PodPtr& pod : pods_.All()) count += pod->Ready() == are_ready;
  return count;
}

int PodManager::ContainersIn(state::ContainerRecord::Stage stage) const {
  int count = 0;
  for (const ContainerPtr& container : containers_.All()) count += container->Stage() == stage;
  return count;
}

}  // namespace crisp::cri
