// The facts about the kubelet, the file systems, the network and the other runtimes.
#include <errno.h>
#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "cli/doctor/doctor_collect.h"
#include "cli/doctor/doctor_parse.h"
#include "cri/node/host_facts.h"
#include "network/cni/cni_config.h"
#include "network/link/links.h"
#include "network/link/netlink.h"
#include "network/link/routes.h"

namespace crisp::cli {
namespace {

constexpr char kKubeletConfig[] = "/var/lib/kubelet/config.yaml";
constexpr char kKubeadmFlags[] = "/var/lib/kubelet/kubeadm-flags.env";

std::string FileSystemName(uint32_t magic) {
  switch (magic) {
    case EXT4_SUPER_MAGIC:
      return "ext4";
    case 0x58465342:
      return "xfs";
    case BTRFS_SUPER_MAGIC:
      return "btrfs";
    case TMPFS_MAGIC:
      return "tmpfs";
    case 0x858458f6:
      return "ramfs";
    case OVERLAYFS_SUPER_MAGIC:
      return "overlay";
    case NFS_SUPER_MAGIC:
      return "nfs";
    case 0xff534d42:
      return "cifs";
    case MSDOS_SUPER_MAGIC:
      return "vfat";
    case V9FS_MAGIC:
      return "9p";
    case F2FS_SUPER_MAGIC:
      return "f2fs";
    case 0x2fc12fc1:
      return "zfs";
    case 0xca451a4e:
      return "bcachefs";
    case 0x65735546:
      return "fuse";
    default:
      return absl::StrFormat("0x%x", magic);
  }
}

DirectoryFacts LookAt(const std::string& path) {
  DirectoryFacts facts{.path = path, .nearest = path};
  struct stat info {};
  facts.exists = stat(path.c_str(), &info) == 0;
  while (facts.nearest.size() > 1 && stat(facts.nearest.c_str(), &info) != 0) {
    facts.nearest = facts.nearest.substr(0, std::max<size_t>(facts.nearest.rfind('/'), 1));
  }
  struct statfs system {};
  if (statfs(facts.nearest.c_str(), &system) != 0) return facts;
  facts.type = FileSystemName(static_cast<uint32_t>(system.f_type));
  facts.read_only = (static_cast<unsigned long>(system.f_flags) & ST_RDONLY) != 0;
  const auto block = static_cast<uint64_t>(system.f_bsize);
  facts.bytes = system.f_blocks * block;
  facts.bytes_free = system.f_bavail * block;
  facts.inodes = system.f_files;
  facts.inodes_free = system.f_ffree;
  return facts;
}

void CollectCni(NodeFacts& facts) {
  CniFacts& cni = facts.network.cni;
  cni.conf_dir = facts.config.network.cni_conf_dir;
  cni.bin_dirs = facts.config.network.cni_bin_dirs;
  auto names = ListDir(cni.conf_dir);
  if (!names.ok()) return;
  std::sort(names->begin(), names->end());
  for (std::string& name : *names) {
    const bool config = absl::EndsWith(name, ".conf") || absl::EndsWith(name, ".conflist") ||
                        absl::EndsWith(name, ".json");
    if (config) cni.files.push_back(std::move(name));
  }
  for (const std::string& directory : cni.bin_dirs) {
    const auto programs = ListDir(directory);
    if (programs.ok()) cni.programs.insert(programs->begin(), programs->end());
  }
  const auto file = network::FindCniConfig(cni.conf_dir);
  if (!file.ok()) return;
  const auto text = ReadFile(file->path, 1u << 20);
  const auto config = text.ok() ? network::ParseCniConfig(*text) : text.status();
  if (!config.ok()) {
    cni.error = absl::StrCat(file->path, ": ", std::string(config.status().message()));
    return;
  }
  for (const network::CniPlugin& plugin : config->plugins) cni.types.push_back(plugin.type);
}

absl::Status FindSubnets(const std::string& bridge, SubnetFacts& subnets) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd rtnl, network::OpenRtnl());
  CRISP_ASSIGN_OR_RETURN(subnets.routes, network::ListForeignRoutes(rtnl.get(), bridge));
  CRISP_ASSIGN_OR_RETURN(const std::vector<network::Link> links, network::ListLinks(rtnl.get()));
  for (const network::Link& link : links) {
    subnets.links[link.index] = link.name;
    if (link.name != bridge) continue;
    CRISP_ASSIGN_OR_RETURN(const auto addresses, network::ListAddresses(rtnl.get(), link.index));
    for (const network::InterfaceAddress& a : addresses) {
      const network::IpPrefix subnet{a.address.Masked(a.prefix_length), a.prefix_length};
      if (subnet.ToString() != "fe80::/64") subnets.in_use.push_back(subnet);
    }
  }
  return absl::OkStatus();
}

// The name of the program that has one of these sockets open.
std::string HolderOf(const CollectOptions& options, const std::vector<uint64_t>& inodes) {
  for (const Process& process : ListProcesses(options)) {
    const std::string directory = absl::StrCat(options.prefix, "/proc/", process.pid);
    const auto descriptors = ListDir(directory + "/fd");
    if (!descriptors.ok()) continue;
    for (const std::string& descriptor : *descriptors) {
      char target[64];
      const ssize_t size =
          readlink(absl::StrCat(directory, "/fd/", descriptor).c_str(), target, sizeof(target));
      for (const uint64_t inode : inodes) {
        if (size < 0 || absl::string_view(target, static_cast<size_t>(size)) !=
                            absl::StrCat("socket:[", inode, "]"))
          continue;
        return std::string(absl::StripAsciiWhitespace(ReadFile(directory + "/comm").value_or("")));
      }
    }
  }
  return "another program";
}

bool Answers(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  memcpy(address.sun_path, path.data(), path.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // A full backlog (EAGAIN) is somebody, too.
  return fd &&
         (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
          errno == EAGAIN);
}

}  // namespace

void CollectStorage(NodeFacts& facts) {
  facts.storage.root = LookAt(facts.config.root);
  facts.storage.state = LookAt(facts.config.state);
  // Init's, for a shell's own may differ.
  auto mounts = ReadFile("/proc/1/mountinfo");
  if (mounts.ok()) facts.storage.root_shared = cri::PropagationOf(*mounts, "/") == "shared";
}

void CollectKubelet(const CollectOptions& options, NodeFacts& facts) {
  KubeletFacts& kubelet = facts.kubelet;
  std::vector<std::string> running;
  for (const Process& process : ListProcesses(options)) {
    const std::string& program = process.arguments.front();
    if (program == "kubelet" || absl::EndsWith(program, "/kubelet")) running = process.arguments;
  }
  kubelet.running = !running.empty();
  const std::string path = FlagValue(running, "config").value_or(kKubeletConfig);
  const auto text = ReadFile(options.prefix + path);
  const auto words = EnvironmentWords(ReadFile(options.prefix + kKubeadmFlags).value_or(""),
                                      "KUBELET_KUBEADM_ARGS");
  kubelet.installed = kubelet.running || text.ok() || !words.empty();
  if (text.ok()) {
    const absl::Status read = ReadKubeletConfig(*text, kubelet);
    if (!read.ok()) kubelet.config_error = absl::StrCat(path, ": ", std::string(read.message()));
  }
  if (!kubelet.endpoint.empty()) kubelet.endpoint_from = path;
  // A flag wins over the file, and what runs over what would be started.
  for (const auto& [arguments, from] :
       {std::pair(words, kKubeadmFlags), {running, "its command line"}}) {
    if (const auto flag = FlagValue(arguments, "cgroup-driver")) kubelet.cgroup_driver = *flag;
    const auto endpoint = FlagValue(arguments, "container-runtime-endpoint");
    if (!endpoint.has_value()) continue;
    kubelet.endpoint = *endpoint;
    kubelet.endpoint_from = from;
  }
}

void CollectNetwork(const CollectOptions& options, NodeFacts& facts) {
  CollectCni(facts);
  facts.network.subnets.error =
      std::string(FindSubnets(facts.config.network.bridge_name, facts.network.subnets).message());
  const std::string tables =
      absl::StrCat(ReadFile(options.prefix + "/proc/net/tcp").value_or(""), "\n",
                   ReadFile(options.prefix + "/proc/net/tcp6").value_or(""));
  for (const auto& [key, address] : {std::pair("metrics.address", facts.config.metrics.address),
                                     {"streaming.address", facts.config.streaming.address}}) {
    if (address.empty() || absl::EndsWith(address, ":0")) continue;
    const std::vector<uint64_t> inodes = ListenersAt(tables, address);
    facts.network.ports.push_back({key, address, inodes.empty() ? "" : HolderOf(options, inodes)});
  }
}

void CollectOtherRuntimes(const CollectOptions& options, NodeFacts& facts) {
  facts.others = {
      {.name = "containerd", .socket = "/run/containerd/containerd.sock", .unit = "containerd"},
      {.name = "CRI-O", .socket = "/run/crio/crio.sock", .unit = "crio"}};
  for (OtherRuntime& other : facts.others) other.answers = Answers(options.prefix + other.socket);
  for (const Process& process : ListProcesses(options)) {
    for (OtherRuntime& other : facts.others)
      other.pods += HoldsPodOf(other.name, process.arguments) ? 1 : 0;
  }
}

}  // namespace crisp::cli
