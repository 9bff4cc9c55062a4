#include "cri/containers/operator_edit.h"

#include <sys/resource.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cri/api/operator_annotations.h"
#include "cri/spec/operator_asks.h"
#include "runtime/devices/blockio_classes.h"

namespace crisp::cri {
namespace {

uint64_t OwnHardLimit(int resource) {
  struct rlimit limit {};
  if (resource < 0 || getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0) return 0;
  return limit.rlim_max;
}

// A limit of the spec's, if it has one of that type, gives way.
void AddLimits(const std::vector<runtime::OciRlimit>& limits, runtime::OciSpec& spec) {
  for (const runtime::OciRlimit& limit : limits) {
    std::erase_if(spec.process.rlimits,
                  [&limit](const runtime::OciRlimit& one) { return one.type == limit.type; });
    spec.process.rlimits.push_back(limit);
  }
}

class OperatorEdit final : public SpecEdit {
 public:
  explicit OperatorEdit(runtime::HostPaths& paths) : paths_(paths) {}

  absl::string_view name() const override { return "operator's annotations"; }

  absl::Status Apply(EditedSpec& edited) override {
    if (!edited.of_operator) return absl::OkStatus();
    CRISP_ASSIGN_OR_RETURN(const ContainerAsks asks, ParseContainerAsks(edited.container));
    CRISP_RETURN_IF_ERROR(CheckHardLimits(asks.ulimits, &OwnHardLimit));
    AddLimits(asks.ulimits, edited.spec);
    runtime::OciBlockIo& io = edited.spec.linux_.resources.block_io;
    CRISP_RETURN_IF_ERROR(AddRates(kDeviceReadBpsAnnotation, asks.read_bps, io.throttle_read_bps));
    CRISP_RETURN_IF_ERROR(
        AddRates(kDeviceWriteBpsAnnotation, asks.write_bps, io.throttle_write_bps));
    CRISP_RETURN_IF_ERROR(
        AddRates(kDeviceReadIopsAnnotation, asks.read_iops, io.throttle_read_iops));
    return AddRates(kDeviceWriteIopsAnnotation, asks.write_iops, io.throttle_write_iops);
  }

 private:
  // The names are looked up as those of a block IO class are.
  absl::Status AddRates(absl::string_view annotation,
                        const std::vector<DeviceRate>& rates,
                        std::vector<runtime::OciThrottleDevice>& to) {
    for (const DeviceRate& rate : rates) {
      auto devices = paths_.BlockDevices(rate.path);
      if (!devices.ok()) return Annotate(devices.status(), absl::StrCat("annotation ", annotation));
      if (devices->empty()) {
        return absl::InvalidArgumentError(absl::StrCat("annotation ", annotation, ": ", rate.path,
                                                       " is not a block device of this node"));
      }
      for (const auto& [major, minor] : *devices) {
        std::erase_if(to, [&, major = major, minor = minor](const auto& one) {
          return one.major == major && one.minor == minor;
        });
        to.push_back({.major = major, .minor = minor, .rate = rate.rate});
      }
    }
    return absl::OkStatus();
  }

  runtime::HostPaths& paths_;
};

}  // namespace

std::unique_ptr<SpecEdit> MakeOperatorEdit(runtime::HostPaths& paths) {
  return std::make_unique<OperatorEdit>(paths);
}

}  // namespace crisp::cri
