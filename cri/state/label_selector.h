#ifndef CRISP_CRI_STATE_LABEL_SELECTOR_H_
#define CRISP_CRI_STATE_LABEL_SELECTOR_H_

#include <string>

#include "google/protobuf/map.h"

namespace crisp::cri {

// True if `labels` has every pair of `selector`. An empty selector matches all.
inline bool MatchesLabels(const google::protobuf::Map<std::string, std::string>& selector,
                          const google::protobuf::Map<std::string, std::string>& labels) {
  for (const auto& [key, value] : selector) {
    auto it = labels.find(key);
    if (it == labels.end() || it->second != value) return false;
  }
  return true;
}

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_LABEL_SELECTOR_H_
