#include "runtime/oci/default_spec.h"

#include "runtime/oci/capabilities.h"
#include "runtime/oci/crisp_mounts.h"

namespace crisp::runtime {
namespace {

OciMount SysMount(const DefaultSpecOptions& options) {
  // sysfs can be mounted in a user namespace only when that owns the network namespace.
  if (options.user_namespace && options.host_network) {
    return {.destination = "/sys",
            .type = "bind",
            .source = "/sys",
            .options = {"rbind", "nosuid", "noexec", "nodev", "rro"}};
  }
  return {.destination = "/sys",
          .type = "sysfs",
          .source = "sysfs",
          .options = {"nosuid", "noexec", "nodev", options.privileged ? "rw" : "ro"}};
}

OciDevice CharDevice(std::string path, int64_t major, int64_t minor) {
  return {.type = "c", .path = std::move(path), .major = major, .minor = minor, .file_mode = 0666};
}

OciDeviceRule AllowChar(std::optional<int64_t> major, std::optional<int64_t> minor) {
  return {.allow = true, .type = "c", .major = major, .minor = minor, .access = "rwm"};
}

}  // namespace

std::vector<OciMount> DefaultMounts(const DefaultSpecOptions& options) {
  OciMount queue = {.destination = "/dev/mqueue",
                    .type = "mqueue",
                    .source = "mqueue",
                    .options = {"nosuid", "noexec", "nodev"}};
  if (options.host_ipc) {
    queue = {.destination = "/dev/mqueue",
             .type = "bind",
             .source = "/dev/mqueue",
             .options = {"rbind", "nosuid", "noexec", "nodev", kOptionOptional}};
  }
  return {
      {.destination = "/proc",
       .type = "proc",
       .source = "proc",
       .options = {"nosuid", "noexec", "nodev"}},
      {.destination = "/dev",
       .type = "tmpfs",
       .source = "tmpfs",
       .options = {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {.destination = "/dev/pts",
       .type = "devpts",
       .source = "devpts",
       .options = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      queue,
      {.destination = "/dev/shm",
       .type = "bind",
       .source = options.host_ipc ? "/dev/shm" : kPodShmSource,
       .options = {"rbind", "nosuid", "noexec", "nodev"}},
      SysMount(options),
      {.destination = "/sys/fs/cgroup",
       .type = "cgroup",
       .source = "cgroup",
       .options = {"nosuid", "noexec", "nodev", "relatime",
                   options.privileged || options.cgroup_writable ? "rw" : "ro"}},
  };
}

std::vector<OciDevice> DefaultDevices() {
  return {CharDevice("/dev/null", 1, 3),    CharDevice("/dev/zero", 1, 5),
          CharDevice("/dev/full", 1, 7),    CharDevice("/dev/random", 1, 8),
          CharDevice("/dev/urandom", 1, 9), CharDevice("/dev/tty", 5, 0)};
}

std::vector<OciDeviceRule> DefaultDeviceRules() {
  std::vector<OciDeviceRule> rules = {
      {.allow = false, .type = "a", .access = "rwm"},
      // A node that exists but cannot be opened does no harm; image tools like to make them.
      {.allow = true, .type = "c", .access = "m"},
      {.allow = true, .type = "b", .access = "m"},
  };
  for (const OciDevice& device : DefaultDevices()) {
    rules.push_back(AllowChar(device.major, device.minor));
  }
  rules.push_back(AllowChar(5, 1));               // /dev/console
  rules.push_back(AllowChar(136, std::nullopt));  // /dev/pts/*
  rules.push_back(AllowChar(5, 2));               // /dev/ptmx
  return rules;
}

std::vector<OciDeviceRule> PrivilegedDeviceRules() {
  return {{.allow = true, .type = "a", .access = "rwm"}};
}

std::vector<std::string> DefaultMaskedPaths() {
  return {"/proc/acpi",
          "/proc/asound",
          "/proc/interrupts",
          "/proc/kcore",
          "/proc/keys",
          "/proc/latency_stats",
          "/proc/sched_debug",
          "/proc/scsi",
          "/proc/timer_list",
          "/proc/timer_stats",
          "/sys/devices/virtual/powercap",
          "/sys/firmware"};
}

std::vector<std::string> DefaultReadonlyPaths() {
  return {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
}

OciCapabilities CapabilitySets(uint64_t mask) {
  std::vector<std::string> names = CapabilityNames(mask);
  return {.bounding = names, .effective = names, .permitted = names};
}

OciSpec DefaultSpec(const DefaultSpecOptions& options) {
  OciSpec spec;
  uint64_t mask = options.privileged ? ~uint64_t{0} : DefaultCapabilities();
  spec.process.env = {kDefaultPath};
  spec.process.capabilities = CapabilitySets(mask & options.available_capabilities);
  spec.process.no_new_privileges = false;
  spec.mounts = DefaultMounts(options);
  spec.linux_.resources.devices =
      options.privileged ? PrivilegedDeviceRules() : DefaultDeviceRules();
  if (!options.privileged) {
    spec.linux_.masked_paths = DefaultMaskedPaths();
    spec.linux_.readonly_paths = DefaultReadonlyPaths();
  }
  return spec;
}

}  // namespace crisp::runtime
