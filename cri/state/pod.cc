#include "cri/state/pod.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::cri {

absl::Status Can(const Pod& pod, runtime::Verb verb) {
  const absl::Status can = pod.runtime->Can(verb);
  if (can.ok()) return can;
  return Annotate(can, absl::StrCat("runtime handler \"", pod.Snapshot()->runtime_handler(), "\""));
}

std::string PodNameKey(const v1::PodSandboxMetadata& metadata, View made_in) {
  return absl::StrCat(made_in == View::kOperator ? "operator's pod " : "pod ",
                      metadata.namespace_().size(), ":", metadata.namespace_(), "/",
                      metadata.name().size(), ":", metadata.name(), "/", metadata.uid().size(), ":",
                      metadata.uid(), "/", metadata.attempt());
}

std::string PodNameKey(const state::PodRecord& record) {
  return PodNameKey(record.config().metadata(),
                    record.of_operator() ? View::kOperator : View::kKubelet);
}

std::string ContainerNameKey(const std::string& pod_id, const v1::ContainerMetadata& metadata) {
  return absl::StrCat("container ", pod_id, "/", metadata.name().size(), ":", metadata.name(), "/",
                      metadata.attempt());
}

}  // namespace crisp::cri
