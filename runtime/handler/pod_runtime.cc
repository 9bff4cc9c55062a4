#include "runtime/handler/pod_runtime.h"

#include "absl/strings/str_cat.h"

namespace crisp::runtime {
namespace {

absl::Status PodLacks(Verb verb) {
  return absl::UnimplementedError(absl::StrCat("the pod's runtime cannot ", Words(verb)));
}

}  // namespace

const std::string& PodHandle::prepared_network() const {
  static const auto* const kNone = new std::string;
  return *kNone;
}

absl::Status PodHandle::ReopenLog(absl::string_view) { return PodLacks(Verb::kReopenLog); }
absl::StatusOr<StartedProcess> PodHandle::Exec(const NewExec&, const Stdio&, const Operation&) {
  return PodLacks(Verb::kExec);
}
absl::Status PodHandle::KillExec(absl::string_view) { return PodLacks(Verb::kExec); }
absl::Status PodHandle::Attach(absl::string_view, const Stdio&) { return PodLacks(Verb::kAttach); }
absl::Status PodHandle::ResizeTerminal(absl::string_view, absl::string_view, uint16_t, uint16_t) {
  return PodLacks(Verb::kAttach);
}

absl::Status PodRuntime::Pause(const ContainerRef&, const Operation&) {
  return Lacks(type_, Verb::kPause);
}
absl::Status PodRuntime::Resume(const ContainerRef&, const Operation&) {
  return Lacks(type_, Verb::kPause);
}
absl::StatusOr<bool> PodRuntime::IsPaused(const ContainerRef&) {
  return Lacks(type_, Verb::kPause);
}
absl::Status PodRuntime::Update(const ContainerRef&, const OciResources&) {
  return Lacks(type_, Verb::kUpdate);
}
absl::StatusOr<CgroupStats> PodRuntime::Stats(const ContainerRef&) {
  return Lacks(type_, Verb::kStats);
}
absl::StatusOr<uint64_t> PodRuntime::CpuUsageNs(const ContainerRef&) {
  return Lacks(type_, Verb::kStats);
}
absl::StatusOr<uint64_t> PodRuntime::OomKills(const ContainerRef&) {
  return Lacks(type_, Verb::kStats);
}

}  // namespace crisp::runtime
