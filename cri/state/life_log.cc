#include "cri/state/life_log.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace crisp::cri {
namespace {

std::string NameOf(const Pod& pod) {
  const auto record = pod.Snapshot();
  const v1::PodSandboxMetadata& metadata = record->config().metadata();
  return absl::StrCat(metadata.namespace_(), "/", metadata.name());
}

}  // namespace

void LogPod(LogLevel level,
            absl::string_view event,
            const Pod& pod,
            std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  Log(level, event, {{"pod", NameOf(pod)}, {"pod_id", pod.id}}, fields);
}

void LogContainer(LogLevel level,
                  absl::string_view event,
                  const Container& container,
                  std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  const auto record = container.Snapshot();
  Log(level, event,
      {{"pod", NameOf(*container.pod)},
       {"container", record->config().metadata().name()},
       {"pod_id", container.pod->id},
       {"container_id", container.id}},
      fields);
}

}  // namespace crisp::cri
