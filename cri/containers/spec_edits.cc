#include "cri/containers/spec_edits.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "cri/containers/operator_edit.h"
#include "runtime/devices/blockio_classes.h"
#include "runtime/devices/cdi_registry.h"
#include "runtime/devices/cdi_spec.h"

namespace crisp::cri {
namespace {

std::map<std::string, std::string> ToMap(
    const google::protobuf::Map<std::string, std::string>& map) {
  return {map.begin(), map.end()};
}

class CdiEdit final : public SpecEdit {
 public:
  CdiEdit(const std::vector<std::string>& dirs, runtime::HostPaths& paths)
      : on_(!dirs.empty()),
        registry_(dirs, [&paths](const std::string& path, runtime::Links links) {
          return paths.Stat(path, links);
        }) {}

  absl::string_view name() const override { return "cdi"; }

  absl::Status Apply(EditedSpec& edited) override {
    std::vector<std::string> devices;
    for (const v1::CDIDevice& device : edited.container.cdi_devices())
      devices.push_back(device.name());
    for (std::string& device :
         runtime::CdiDevicesOfAnnotations(ToMap(edited.container.annotations()))) {
      devices.push_back(std::move(device));
    }
    if (devices.empty()) return absl::OkStatus();
    if (!on_) {
      return absl::FailedPreconditionError(
          absl::StrCat("CDI device ", devices[0], ": CDI is off (runtime.cdi_spec_dirs is empty)"));
    }
    CRISP_ASSIGN_OR_RETURN(const runtime::CdiEdits edits, registry_.Resolve(devices));
    return runtime::ApplyCdiEdits(edits, edited.spec, edited.device_sources);
  }

 private:
  const bool on_;
  runtime::CdiRegistry registry_;
};

class BlockIoEdit final : public SpecEdit {
 public:
  BlockIoEdit(std::string file, runtime::HostPaths& paths)
      : file_(std::move(file)), paths_(paths) {}

  absl::string_view name() const override { return "block IO class"; }

  absl::Status Apply(EditedSpec& edited) override {
    const std::string name = runtime::SelectBlockIoClass(edited.container.metadata().name(),
                                                         ToMap(edited.container.annotations()),
                                                         ToMap(edited.pod.annotations()));
    if (name.empty()) return absl::OkStatus();
    const auto invalid = [&name](absl::string_view why) {
      return absl::InvalidArgumentError(absl::StrCat("block IO class \"", name, "\": ", why));
    };
    if (file_.empty())
      return invalid("this node has no classes (runtime.blockio_config_file is not set)");
    // Read each time: a few kilobytes, and an edit counts from the next container on.
    absl::StatusOr<std::string> text = ReadFile(file_, 1u << 20);
    if (!text.ok()) return invalid(text.status().message());
    absl::StatusOr<runtime::BlockIoClasses> classes = runtime::ParseBlockIoClasses(*text);
    if (!classes.ok())
      return invalid(absl::StrCat(file_, ": ", std::string(classes.status().message())));
    const auto rules = classes->find(name);
    if (rules == classes->end()) return invalid(absl::StrCat("is not among those of ", file_));
    absl::Status looked;
    auto limits = runtime::ResolveBlockIo(rules->second, [&](const std::string& pattern) {
      auto devices = paths_.BlockDevices(pattern);
      looked.Update(devices.status());
      return devices.ok() ? *std::move(devices) : std::vector<runtime::DeviceNumber>();
    });
    if (!looked.ok()) return Annotate(looked, absl::StrCat("block IO class \"", name, "\""));
    if (!limits.ok())
      return Annotate(limits.status(), absl::StrCat("block IO class \"", name, "\""));
    edited.spec.linux_.resources.block_io = *std::move(limits);
    return absl::OkStatus();
  }

 private:
  const std::string file_;
  runtime::HostPaths& paths_;
};

}  // namespace

std::vector<std::unique_ptr<SpecEdit>> MakeSpecEdits(const PodManagerOptions& options,
                                                     runtime::HostPaths& paths) {
  std::vector<std::unique_ptr<SpecEdit>> edits;
  edits.push_back(std::make_unique<CdiEdit>(options.cdi_spec_dirs, paths));
  edits.push_back(std::make_unique<BlockIoEdit>(options.blockio_config_file, paths));
  edits.push_back(MakeOperatorEdit(paths));
  return edits;
}

}  // namespace crisp::cri
