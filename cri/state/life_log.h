#ifndef CRISP_CRI_STATE_LIFE_LOG_H_
#define CRISP_CRI_STATE_LIFE_LOG_H_

#include <initializer_list>

#include "absl/strings/string_view.h"
#include "base/log.h"
#include "cri/state/pod.h"

namespace crisp::cri {

// Events in the life of a pod or a container. Each line has the names that people know and the ids
// that tools know, so that one search finds all of a pod: pod=NAMESPACE/NAME, pod_id, and of a
// container container=NAME, container_id. They take the mutex of what they name.
void LogPod(LogLevel level,
            absl::string_view event,
            const Pod& pod,
            std::initializer_list<LogField> fields = {});
void LogContainer(LogLevel level,
                  absl::string_view event,
                  const Container& container,
                  std::initializer_list<LogField> fields = {});

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_LIFE_LOG_H_
