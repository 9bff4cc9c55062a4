#include "cri/pods/sampler.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/time/clock.h"
#include "runtime/cgroup/cgroup_stats.h"

namespace crisp::cri {

void Sampler::Arm() {
  if (armed_.exchange(true)) return;
  readings_.PostAt(absl::Now() + node_.options.sample_period, [this] { SampleAll(); });
}

void Sampler::SampleAll() {
  // Disarmed before the look at the pods: one that comes after it arms the sampler itself.
  armed_ = false;
  absl::flat_hash_set<const Pod*> busy;
  for (const PodPtr& pod : table_.Pods()) {
    if (!pod->Ready()) continue;
    const auto usage = runtime::ReadCpuUsageNs(node_.CgroupAt(pod->Snapshot()->cgroup_path()));
    absl::MutexLock lock(&pod->mutex);
    if (!usage.ok() || !pod->cpu.SameAsNewest(*usage)) busy.insert(pod.get());
    if (usage.ok()) pod->cpu.Add(absl::Now(), *usage);
  }
  std::vector<std::string> written;
  for (const ContainerPtr& container : table_.Containers()) {
    // A group in which nothing has run has neither written anything nor had a process killed for
    // want of memory.
    if (busy.contains(container->pod.get())) SampleOne(*container);
    absl::MutexLock lock(&container->mutex);
    if (std::exchange(container->written, false)) written.push_back(container->id);
  }
  if (!written.empty()) {
    measuring_.Post(
        [this, written = std::move(written)] { node_.images->MeasureContainers(written); });
  }
  trimmer_.TrimSoon();
  if (table_.PodCount() > 0) Arm();
}

void Sampler::SampleOne(Container& container) {
  if (container.Stage() != state::ContainerRecord::RUNNING) return;
  runtime::PodRuntime& runtime = *container.pod->runtime;
  const auto record = container.Snapshot();
  const runtime::ContainerRef ref = RefTo(*container.pod, *record);
  const auto usage = runtime.CpuUsageNs(ref);
  if (const auto kills = runtime.OomKills(ref); kills.ok()) ooms_.Saw(container, *kills);
  absl::MutexLock lock(&container.mutex);
  if (!usage.ok() || !container.cpu.SameAsNewest(*usage)) container.written = true;
  if (usage.ok()) container.cpu.Add(absl::Now(), *usage);
}

}  // namespace crisp::cri
