#include "cli/doctor/doctor.h"

#include <sys/stat.h>

#include <functional>
#include <map>
#include <utility>

#include "base/testing/status_matchers.h"

namespace crisp::cli {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kAllCapabilities = (uint64_t{1} << 41) - 1;

DirectoryFacts Directory(const std::string& path, const std::string& type) {
  return {.path = path,
          .nearest = path,
          .exists = true,
          .type = type,
          .bytes = 100 * kGiB,
          .bytes_free = 50 * kGiB,
          .inodes = 1000,
          .inodes_free = 900};
}

// A node on which everything is as it should be.
NodeFacts Healthy() {
  NodeFacts facts;
  facts.version = "1.0";
  facts.config.runtime.cgroup_driver = "systemd";
  facts.privileges = {.root = true, .capabilities = kAllCapabilities};
  const Probe works{.tried = true, .error = ""};
  facts.kernel = {.release = "6.18.0",
                  .missing_calls = {},
                  .overlay = true,
                  .bridge = works,
                  .veth = works,
                  .nftables = works,
                  .idmap = works,
                  .max_user_namespaces = 1000,
                  .seccomp_actions = {"kill_process", "errno", "log", "allow"}};
  facts.cgroups = {.mounted = true,
                   .v2 = true,
                   .controllers = {"cpu", "cpuset", "io", "memory", "hugetlb", "pids"},
                   .systemd = true};
  facts.kubelet = {.installed = true,
                   .running = true,
                   .config_error = "",
                   .cgroup_driver = "systemd",
                   .endpoint = "unix:///run/crisp/crisp.sock",
                   .endpoint_from = "its command line",
                   .image_endpoint = ""};
  facts.storage = {.root = Directory("/var/lib/crisp", "ext4"),
                   .state = Directory("/run/crisp", "tmpfs"),
                   .root_shared = true};
  facts.paths = {{.path = "/run/crisp/crisp.sock", .mode = S_IFSOCK | 0600},
                 {.path = "/var/lib/crisp", .mode = S_IFDIR | 0711, .holds_layers = true}};
  facts.network.cni = {.conf_dir = "/etc/cni/net.d",
                       .bin_dirs = {"/opt/cni/bin"},
                       .files = {"10-x.conflist"},
                       .error = "",
                       .types = {"bridge"},
                       .programs = {"bridge"}};
  facts.network.ports = {
      {.key = "metrics.address", .address = "127.0.0.1:9110", .holder = "crispd"}};
  facts.sysctls = {{"fs.inotify.max_user_instances", 8192},
                   {"fs.inotify.max_user_watches", 524288},
                   {"kernel.pid_max", 4194304},
                   {"fs.nr_open", 1048576},
                   {"fs.file-max", INT64_MAX},
                   {"net.ipv4.ip_forward", 1},
                   {"net.ipv6.conf.all.forwarding", 1},
                   {"net.bridge.bridge-nf-call-iptables", 1}};
  facts.security = {.apparmor = true,
                    .apparmor_parser = true,
                    .default_profile = true,
                    .selinux_enforcing = false};
  facts.others = {
      {.name = "containerd", .socket = "/run/containerd/containerd.sock", .unit = "containerd"}};
  facts.daemon = {.address = "unix:///run/crisp/crisp.sock",
                  .config_error = "",
                  .error = "",
                  .version = "1.0",
                  .cgroup_driver = "systemd",
                  .pods = 3,
                  .conditions = {{"RuntimeReady", true, ""}}};
  return facts;
}

std::vector<network::IpPrefix> Prefixes(const std::vector<std::string>& texts) {
  std::vector<network::IpPrefix> prefixes;
  for (const std::string& text : texts) prefixes.push_back(network::IpPrefix::Parse(text).value());
  return prefixes;
}

constexpr int kVpn = 7;

// One whose pods have the built-in network, and which has these routes besides.
NodeFacts BuiltIn(const std::vector<std::pair<std::string, int>>& routes) {
  NodeFacts facts = Healthy();
  facts.network.cni.files = {};
  facts.network.subnets.links = {{kVpn, "tun0"}};
  for (const auto& [to, link] : routes) {
    facts.network.subnets.routes.push_back({network::IpPrefix::Parse(to).value(), link});
  }
  return facts;
}

TEST(DoctorTest, AHealthyNodeHasOnlyGoodFindings) {
  const auto findings = ExamineNode(Healthy());
  EXPECT_GT(findings.size(), 25u);
  for (const Finding& finding : findings) {
    EXPECT_EQ(finding.level, Level::kOk) << finding.check << ": " << finding.found;
    EXPECT_EQ(finding.meaning + finding.todo, "") << finding.check;
    EXPECT_NE(finding.found, "") << finding.check;
  }
}

// One thing that is wrong, and what exactly one check says of it.
struct Case {
  const char* check;
  Level level;
  const char* found;  // a part of it
  const char* todo;   // a part of it
  std::function<void(NodeFacts&)> spoil;
};

constexpr Level kWarning = Level::kWarning, kError = Level::kError;

void Expect(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    NodeFacts facts = Healthy();
    c.spoil(facts);
    int found = 0;
    for (const Finding& finding : ExamineNode(facts)) {
      if (finding.level == Level::kOk) continue;
      ++found;
      EXPECT_EQ(finding.check, c.check) << finding.found;
      EXPECT_EQ(finding.level, c.level) << c.check << ": " << finding.found;
      EXPECT_THAT(finding.found, HasSubstr(c.found)) << c.check;
      EXPECT_THAT(finding.todo, HasSubstr(c.todo)) << c.check;
      EXPECT_NE(finding.meaning, "") << c.check;
    }
    EXPECT_EQ(found, 1) << c.check << " " << c.found;
  }
}

TEST(DoctorTest, PrivilegesAndKernel) {
  Expect({
      {"privileges", kWarning, "not run as root", "sudo",
       [](auto& f) { f.privileges.root = false; }},
      {"privileges", kError, "CAP_SYS_ADMIN", "sandbox",
       [](auto& f) { f.privileges.capabilities &= ~(uint64_t{1} << 21); }},
      {"privileges", kWarning, "CAP_SYS_RESOURCE", "with it",
       [](auto& f) { f.privileges.capabilities &= ~(uint64_t{1} << 24); }},
      {"kernel", kError, "without fsopen", "let them through",
       [](auto& f) { f.kernel.missing_calls = {"fsopen"}; }},
      {"overlayfs", kError, "neither", "modprobe overlay",
       [](auto& f) { f.kernel.overlay = false; }},
      {"seccomp", kError, "errno", "CONFIG_SECCOMP_FILTER",
       [](auto& f) {
         f.kernel.seccomp_actions = {"allow", "kill_process"};
       }},
      {"user namespaces", kWarning, "older", "later kernel",
       [](auto& f) { f.kernel.release = "6.1.0-13-amd64"; }},
      {"user namespaces", kWarning, "switched off", "max_user_namespaces",
       [](auto& f) { f.kernel.max_user_namespaces = 0; }},
      {"user namespaces", kWarning, "EINVAL", "XFS",
       [](auto& f) { f.kernel.idmap.error = "EINVAL"; }},
      {"veth", kWarning, "not supported", "modprobe veth",
       [](auto& f) { f.kernel.veth.error = "not supported"; }},
      {"nftables", kError, "no", "modprobe nf_tables",
       [](auto& f) {
         f.kernel.nftables.error = "no";
         f.network.cni.files = {};
       }},
  });
  NodeFacts old = Healthy();
  old.kernel.release = "5.4.0";
  EXPECT_EQ(CheckKernel(old)[0].level, kError);
  EXPECT_THAT(CheckKernel(old)[0].todo, HasSubstr("5.12"));
}

TEST(DoctorTest, SecurityModules) {
  Expect({
      {"AppArmor", kWarning, "apparmor_parser", "apt-get install apparmor",
       [](auto& f) {
         f.security.apparmor_parser = false;
         f.security.default_profile = false;
       }},
      {"AppArmor", kWarning, "not loaded", "journalctl",
       [](auto& f) { f.security.default_profile = false; }},
      {"SELinux", kWarning, "runtime.selinux is off", "runtime.selinux: auto",
       [](auto& f) {
         f.security.selinux = f.security.selinux_enforcing = true;
         f.config.runtime.selinux = "off";
       }},
      {"SELinux", kWarning, "runtime.selinux is required", "runtime.selinux: auto",
       [](auto& f) { f.config.runtime.selinux = "required"; }},
  });
  NodeFacts labelled = Healthy();
  EXPECT_THAT(CheckSecurity(labelled)[1].found, ::testing::HasSubstr("overlooked"));
  labelled.security.selinux = labelled.security.selinux_enforcing = true;
  EXPECT_EQ(CheckSecurity(labelled)[1].level, Level::kOk);
  NodeFacts without = Healthy();
  without.security = {};
  EXPECT_EQ(CheckSecurity(without)[0].level, Level::kOk);
}

TEST(DoctorTest, Cgroups) {
  Expect({
      {"cgroup version", kWarning, "v1", "unified_cgroup_hierarchy",
       [](auto& f) { f.cgroups.v2 = false; }},
      {"cgroup controllers", kError, "without memory, pids", "cgroup_enable",
       [](auto& f) {
         f.cgroups.controllers = {"cpu", "cpuset", "io", "hugetlb"};
       }},
      {"cgroup controllers", kWarning, "hugetlb", "subtree_control",
       [](auto& f) { f.cgroups.controllers.erase("hugetlb"); }},
      {"cgroup controllers", kError, "no cgroup", "mount -t cgroup2",
       [](auto& f) { f.cgroups.mounted = false; }},
      {"cgroup driver", kError, "crisp has systemd, the kubelet cgroupfs",
       "cgroup_driver: cgroupfs", [](auto& f) { f.kubelet.cgroup_driver = "cgroupfs"; }},
      {"cgroup driver", kError, "Connection refused", "dbus",
       [](auto& f) { f.cgroups.bus = {.tried = true, .error = "systemd: Connection refused"}; }},
      {"cgroup driver", kError, "not this machine's init", "cgroupfs",
       [](auto& f) { f.cgroups.systemd = false; }},
      {"cgroup driver", kWarning, "whose cgroups systemd manages", "cgroup_driver: systemd",
       [](auto& f) {
         f.daemon.cgroup_driver = "cgroupfs";
         f.kubelet.cgroup_driver = "";
       }},
  });
}

TEST(DoctorTest, Kubelet) {
  Expect({
      {"kubelet endpoint", kWarning, "told none",
       "containerRuntimeEndpoint: unix:///run/crisp/crisp.sock",
       [](auto& f) {
         f.kubelet.endpoint = "";
         f.daemon.pods = 0;
       }},
      {"kubelet endpoint", kWarning, "containerd.sock (its command line)", "kubeadm-flags.env",
       [](auto& f) {
         f.kubelet.endpoint = "unix:///run/containerd/containerd.sock";
         f.daemon.pods = 0;
       }},
      {"kubelet image endpoint", kError, "crio", "imageServiceEndpoint",
       [](auto& f) { f.kubelet.image_endpoint = "unix:///var/run/crio/crio.sock"; }},
      {"kubelet", kWarning, "does not run", "systemctl start kubelet",
       [](auto& f) { f.kubelet.running = false; }},
      {"kubelet", kError, "config.yaml: line 3", "mend",
       [](auto& f) { f.kubelet.config_error = "config.yaml: line 3"; }},
  });
  NodeFacts same = Healthy();
  same.kubelet.endpoint = "/var/run/crisp/crisp.sock";
  same.kubelet.image_endpoint = "unix:/run/crisp/crisp.sock";
  for (const Finding& finding : CheckKubelet(same))
    EXPECT_EQ(finding.level, Level::kOk) << finding.found;
  NodeFacts none = Healthy();
  none.kubelet = {};
  EXPECT_EQ(CheckKubelet(none)[0].level, Level::kOk);
}

TEST(DoctorTest, Storage) {
  Expect({
      {"disk space", kWarning, "10 %", "rmi --prune",
       [](auto& f) { f.storage.root.bytes_free = 10 * kGiB; }},
      {"disk space", kError, "1 %", "root:", [](auto& f) { f.storage.root.bytes_free = 1 * kGiB; }},
      {"inodes", kWarning, "8 %", "XFS", [](auto& f) { f.storage.root.inodes_free = 80; }},
      {"inodes", kError, "0 %", "XFS", [](auto& f) { f.storage.root.inodes_free = 0; }},
      {"file system of root", kError, "overlay at /var/lib/crisp", "mount a disk",
       [](auto& f) { f.storage.root.type = "overlay"; }},
      {"file system of root", kError, "nfs", "local disk",
       [](auto& f) { f.storage.root.type = "nfs"; }},
      {"file system of root", kError, "read-only", "read-write",
       [](auto& f) { f.storage.root.read_only = true; }},
      {"file system of root", kWarning, "tmpfs", "disk",
       [](auto& f) { f.storage.root.type = "tmpfs"; }},
      {"state directory", kWarning, "ext4 at /run/crisp", "tmpfs",
       [](auto& f) { f.storage.state.type = "ext4"; }},
      {"state directory", kError, "1024 KiB free", "make room",
       [](auto& f) { f.storage.state.bytes_free = 1u << 20; }},
      {"state directory", kError, "read-only", "read-write",
       [](auto& f) { f.storage.state.read_only = true; }},
      {"mount propagation", kWarning, "not a shared", "make-rshared",
       [](auto& f) { f.storage.root_shared = false; }},
  });
  NodeFacts dynamic = Healthy();
  dynamic.storage.root.inodes = dynamic.storage.root.inodes_free = 0;
  EXPECT_EQ(CheckStorage(dynamic)[1].level, Level::kOk) << "Btrfs";
}

TEST(DoctorTest, Permissions) {
  Expect({
      {"permissions of /run/crisp/crisp.sock", kError, "mode 0666", "chmod 0600",
       [](auto& f) { f.paths[0].mode = S_IFSOCK | 0666; }},
      {"permissions of /run/crisp/crisp.sock", kError, "owner 1000:0", "chown root",
       [](auto& f) { f.paths[0].uid = 1000; }},
      {"permissions of /run/crisp/crisp.sock", kWarning, "mode 0660, owner 0:44", "chmod 0600",
       [](auto& f) {
         f.paths[0].mode = S_IFSOCK | 0660;
         f.paths[0].gid = 44;
       }},
      {"permissions of /var/lib/crisp", kWarning, "mode 0755", "chmod 0711",
       [](auto& f) { f.paths[1].mode = S_IFDIR | 0755; }},
      {"permissions of /var/lib/crisp", kError, "mode 0777", "chmod 0711",
       [](auto& f) { f.paths[1].mode = S_IFDIR | 0777; }},
      {"permissions of /etc/crisp/config.yaml", kError, "mode 0646", "chmod 0644",
       [](auto& f) {
         f.paths.push_back({.path = "/etc/crisp/config.yaml", .mode = S_IFREG | 0646});
       }},
  });
}

TEST(DoctorTest, NetworkAndLimits) {
  Expect({
      {"CNI", kError, "portmap", "containernetworking-plugins",
       [](auto& f) {
         f.network.cni.types = {"bridge", "portmap"};
       }},
      {"CNI", kError, "not JSON", "mend /etc/cni/net.d/10-x.conflist",
       [](auto& f) { f.network.cni.error = "not JSON"; }},
      {"CNI", kWarning, "2 configurations", "20-y.conf",
       [](auto& f) { f.network.cni.files.push_back("20-y.conf"); }},
      {"metrics.address", kError, "taken by prometheus", "another port",
       [](auto& f) { f.network.ports[0].holder = "prometheus"; }},
      {"net.ipv4.ip_forward", kWarning, "off", "ip_forward=1",
       [](auto& f) { f.sysctls["net.ipv4.ip_forward"] = 0; }},
      {"net.bridge.bridge-nf-call-iptables", kWarning, "not loaded", "modprobe br_netfilter",
       [](auto& f) { f.sysctls.erase("net.bridge.bridge-nf-call-iptables"); }},
      {"fs.inotify.max_user_instances", kWarning, "128", "=512",
       [](auto& f) { f.sysctls["fs.inotify.max_user_instances"] = 128; }},
      {"fs.inotify.max_user_watches", kWarning, "8192", "=65536",
       [](auto& f) { f.sysctls["fs.inotify.max_user_watches"] = 8192; }},
      {"kernel.pid_max", kWarning, "32768", "=65536",
       [](auto& f) { f.sysctls["kernel.pid_max"] = 32768; }},
      {"fs.nr_open", kWarning, "1024", "=1048576", [](auto& f) { f.sysctls["fs.nr_open"] = 1024; }},
      {"fs.file-max", kWarning, "1024", "=262144",
       [](auto& f) { f.sysctls["fs.file-max"] = 1024; }},
  });
  NodeFacts built_in = BuiltIn({});
  built_in.sysctls.erase("net.ipv6.conf.all.forwarding");
  built_in.sysctls["net.ipv4.ip_forward"] = 0;
  built_in.network.ports[0].holder = "";
  for (const Finding& finding : CheckNetwork(built_in))
    EXPECT_EQ(finding.level, Level::kOk) << finding.found;
}

TEST(DoctorTest, SubnetsThatOthersHave) {
  // Narrower than the subnet, and wider.
  Expect({
      {"pod subnet 10.79.0.0/16", kError, "route to 10.79.3.0/24 by tun0", "network.subnets to one",
       [](auto& f) {
         f = BuiltIn({{"10.79.3.0/24", kVpn}});
         f.network.subnets.in_use = Prefixes({"10.79.0.0/16"});
       }},
      {"pod subnet 10.79.0.0/16", kError, "10.79.0.0/16 by tun0", "10.63.0.0/16 is free",
       [](auto& f) {
         f = BuiltIn({{"10.79.0.0/16", kVpn}});
         f.config.network.subnets = {"10.79.0.0/16"};
       }},
      {"pod subnet 10.79.0.0/16", kWarning, "within the node's route to 10.0.0.0/8 by tun0",
       "172.29.0.0/16 is free",
       [](auto& f) {
         f = BuiltIn({{"10.0.0.0/8", kVpn}});
         f.config.network.subnets = {"10.79.0.0/16"};
       }},
      {"pod subnet 10.79.0.0/16", kError, "10.79.9.0/24 by no interface", "network.subnets",
       [](auto& f) {
         f = BuiltIn({{"10.0.0.0/8", kVpn}, {"10.79.9.0/24", 0}});
         f.config.network.subnets = {"10.79.0.0/16"};
       }},
      {"pod subnet fd00:1::/64", kError, "fd00:1::/80 by tun0", "uses and restart",
       [](auto& f) {
         f = BuiltIn({{"fd00:1::/80", kVpn}});
         f.config.network.subnets = {"fd00:1::/64"};
       }},
      {"pod subnet", kWarning, "no socket", "ip route",
       [](auto& f) {
         f = BuiltIn({});
         f.network.subnets.error = "no socket";
       }},
  });
}

TEST(DoctorTest, SubnetsThatNobodyElseNeeds) {
  const std::vector<std::pair<std::string, int>> taken = {{"10.79.0.0/16", kVpn}};
  NodeFacts by_default = BuiltIn(taken);  // crispd takes another then
  NodeFacts plugins = Healthy();
  plugins.network.subnets = BuiltIn(taken).network.subnets;
  plugins.config.network.subnets = {"10.79.0.0/16"};
  NodeFacts never = plugins;
  never.config.network.builtin = "never";
  NodeFacts of_cluster = BuiltIn({{"10.244.0.0/16", kVpn}});
  of_cluster.network.subnets.in_use = Prefixes({"10.244.1.0/24"});
  for (const NodeFacts& facts : {by_default, plugins, never, of_cluster}) {
    for (const Finding& finding : CheckNetwork(facts))
      EXPECT_EQ(finding.level, Level::kOk) << finding.check << ": " << finding.found;
  }
  plugins.config.network.builtin = "always";
  EXPECT_THAT(CheckNetwork(plugins),
              ::testing::Contains(::testing::Field(&Finding::level, kError)));
}

TEST(DoctorTest, DaemonAndOtherRuntimes) {
  Expect({
      {"daemon", kError, "unix:///run/crisp/crisp.sock: refused", "systemctl start crispd",
       [](auto& f) { f.daemon.error = "refused"; }},
      {"configuration", kError, "config.yaml:3", "config dump",
       [](auto& f) { f.daemon.config_error = "config.yaml:3"; }},
      {"daemon version", kWarning, "crispd 0.9 runs, 1.0 is installed", "restart",
       [](auto& f) { f.daemon.version = "0.9"; }},
      {"NetworkReady", kError, "NoBridge: why", "journalctl",
       [](auto& f) {
         f.daemon.conditions.push_back({"NetworkReady", false, "NoBridge: why"});
       }},
      {"other runtimes: containerd", kWarning, "pods: 2, and nobody", "systemctl start containerd",
       [](auto& f) { f.others[0].pods = 2; }},
      {"other runtimes: containerd", kWarning, "pods: 2", "disable --now containerd",
       [](auto& f) {
         f.others[0].pods = 2;
         f.others[0].answers = true;
       }},
  });
  NodeFacts back = Healthy();
  back.kubelet.endpoint = "unix:///var/run/containerd/containerd.sock";
  back.others[0].pods = 4;
  EXPECT_EQ(CheckOtherRuntimes(back)[0].level, Level::kOk) << "the kubelet's own";
  const auto findings = CheckDaemon(back);
  EXPECT_EQ(findings.back().level, kWarning);
  EXPECT_EQ(findings.back().check, "pods of crisp");
  EXPECT_THAT(findings.back().todo, HasSubstr("rmp -a -f"));
}

TEST(DoctorTest, RendersBothWays) {
  const std::vector<Finding> findings = {Good("kernel", "6.18"),
                                         {kWarning, "swap", "on", "slow", "swapoff"},
                                         {kError, "disk", "full", "nothing works", "make room"}};
  EXPECT_EQ(RenderText(findings),
            "ok       kernel: 6.18\n"
            "warning  swap: on\n         means: slow\n         to do: swapoff\n"
            "error    disk: full\n         means: nothing works\n         to do: make room\n"
            "1 error, 1 warning\n");
  const Json json = RenderJson(findings);
  EXPECT_EQ(json["errors"], 1);
  EXPECT_EQ(json["warnings"], 1);
  EXPECT_EQ(json["findings"][2], Json({{"level", "error"},
                                       {"check", "disk"},
                                       {"found", "full"},
                                       {"meaning", "nothing works"},
                                       {"todo", "make room"}}));
}

}  // namespace
}  // namespace crisp::cli
