#include "cri/state/pod.h"

#include "absl/strings/str_cat.h"

namespace crisp::cri {

std::string PodNameKey(const v1::PodSandboxMetadata& metadata) {
  return absl::StrCat("pod ", metadata.namespace_().size(), ":", metadata.namespace_(), "/",
                      metadata.name().size(), ":", metadata.name(), "/", metadata.uid().size(), ":",
                      metadata.uid(), "/", metadata.attempt());
}

std::string ContainerNameKey(const std::string& pod_id, const v1::ContainerMetadata& metadata) {
  return absl::StrCat("container ", pod_id, "/", metadata.name().size(), ":", metadata.name(), "/",
                      metadata.attempt());
}

}  // namespace crisp::cri
