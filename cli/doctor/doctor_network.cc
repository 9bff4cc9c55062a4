// Checks of CNI, the built-in network's subnets, ports and the kernel's limits.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/doctor/doctor_checks.h"
#include "network/link/routes.h"

namespace crisp::cli {
namespace {

Finding CheckCni(const CniFacts& cni) {
  constexpr char kName[] = "CNI";
  if (cni.files.empty()) {
    return Good(
        kName, absl::StrCat("no configuration in ", cni.conf_dir, ": the built-in network serves"));
  }
  const std::string& file = cni.files.front();
  if (!cni.error.empty()) {
    return {Level::kError, kName, cni.error, "pods without the host's network cannot be made",
            absl::StrCat("mend ", cni.conf_dir, "/", file,
                         ", or remove it to use the built-in network")};
  }
  std::vector<std::string> missing;
  for (const std::string& type : cni.types) {
    if (cni.programs.count(type) == 0) missing.push_back(type);
  }
  if (!missing.empty()) {
    return {
        Level::kError, kName,
        absl::StrCat(file, " names plugins that are not in ", absl::StrJoin(cni.bin_dirs, " or "),
                     ": ", absl::StrJoin(missing, ", ")),
        "pods without the host's network cannot be made",
        "install them (apt-get install containernetworking-plugins, or what the network's own "
        "agent "
        "puts there), name their directory in network.cni_bin_dirs, or remove the file to use the "
        "built-in network"};
  }
  if (cni.files.size() > 1) {
    return {Level::kWarning, kName,
            absl::StrCat(cni.files.size(), " configurations, of which ", file, " counts"),
            "the others are ignored; they may be what another network or runtime left",
            absl::StrCat("remove from ", cni.conf_dir, " what is not wanted: ",
                         absl::StrJoin(cni.files.begin() + 1, cni.files.end(), ", "))};
  }
  return Good(kName, absl::StrCat(file, " with ", absl::StrJoin(cni.types, ", ")));
}

bool BuiltInServes(const NodeFacts& facts) {
  const std::string& builtin = facts.config.network.builtin;
  return builtin == "always" || (builtin == "auto" && facts.network.cni.files.empty());
}

// Those that pods have, or would have from the next start on.
std::vector<network::IpPrefix> PodSubnets(const NodeFacts& facts) {
  const SubnetFacts& subnets = facts.network.subnets;
  if (!subnets.in_use.empty()) return subnets.in_use;
  auto configured = network::ParsePrefixes(facts.config.network.subnets);
  if (configured.ok() && !configured->empty()) return *std::move(configured);
  return network::DefaultSubnets(subnets.routes, 0);
}

std::string Describe(const SubnetFacts& facts, const network::Route& route) {
  const auto link = facts.links.find(route.link);
  return absl::StrCat("the node's route to ", route.to.ToString(), " by ",
                      link == facts.links.end() ? "no interface" : link->second);
}

std::string AnotherSubnet(const std::vector<network::Route>& routes,
                          const network::IpPrefix& subnet) {
  const network::IpPrefix free = network::DefaultSubnets(routes, 0).front();
  const bool helps = !subnet.address.is_v6() && !network::Overlaps(routes, free, 0);
  return absl::StrCat(
      "set network.subnets to one that nothing else on this node uses",
      helps ? absl::StrCat(" (", free.ToString(), " is free)") : "",
      " and restart crispd; where the subnet is the pod CIDR that the kubelet tells "
      "(network.subnets_from_kubelet), give the cluster another; or end what made the route");
}

// The longest prefix wins: a narrower route takes addresses from pods, and pods take them from a
// wider one.
Finding CheckSubnet(const NodeFacts& facts, const network::IpPrefix& subnet) {
  const SubnetFacts& subnets = facts.network.subnets;
  const std::string check = absl::StrCat("pod subnet ", subnet.ToString());
  const std::string todo = AnotherSubnet(subnets.routes, subnet);
  if (const network::Route* stealer = network::Stealer(subnets.routes, subnet, 0)) {
    return {Level::kError, check, absl::StrCat(Describe(subnets, *stealer), " has addresses of it"),
            "what the node sends to pods with these addresses goes elsewhere, probes fail, and "
            "crispd makes "
            "no pods with a network of their own",
            todo};
  }
  for (const network::Route& route : subnets.routes) {
    if (!network::Overlaps({route}, subnet, 0)) continue;
    const std::string found = absl::StrCat("is within ", Describe(subnets, route));
    // So a cluster's nodes reach each other's pods.
    const bool of_cluster = facts.config.network.subnets_from_kubelet && facts.kubelet.installed &&
                            !subnets.in_use.empty();
    if (of_cluster) return Good(check, found);
    return {Level::kWarning, check, found,
            "neither this node nor its pods reach what has one of these addresses elsewhere", todo};
  }
  return Good(check, "no other route of the node overlaps with it");
}

std::vector<Finding> CheckSubnets(const NodeFacts& facts) {
  if (!BuiltInServes(facts)) return {};
  if (!facts.network.subnets.error.empty()) {
    return {{Level::kWarning, "pod subnet", facts.network.subnets.error,
             "whether another network of the node has pods' addresses is not known",
             "compare `ip route` with network.subnets"}};
  }
  std::vector<Finding> findings;
  for (const network::IpPrefix& subnet : PodSubnets(facts))
    findings.push_back(CheckSubnet(facts, subnet));
  return findings;
}

Finding CheckPort(const PortFacts& port) {
  const std::string check = absl::StrCat(port.key);
  if (port.holder.empty() || port.holder == "crispd")
    return Good(check, absl::StrCat(port.address, " is free or crispd's"));
  return {Level::kError, check, absl::StrCat(port.address, " is taken by ", port.holder),
          "crispd does not start",
          absl::StrCat("set ", port.key, " to another port, or end ", port.holder)};
}

// A limit of the kernel: fine from `enough` on.
struct Limit {
  const char* name;
  int64_t enough;
  const char* meaning;
};
constexpr Limit kLimits[] = {
    {"fs.inotify.max_user_instances", 512,
     "with many pods the kubelet, kubectl logs -f and programs in containers fail with \"too many "
     "open files\""},
    {"fs.inotify.max_user_watches", 65536,
     "programs that watch files fail with \"no space left on device\""},
    {"kernel.pid_max", 65536, "with many pods no process can be started any more"},
    {"fs.nr_open", 1048576, "crispd.service does not start: it asks for 1048576 open files"},
    {"fs.file-max", 262144, "with many pods no file can be opened any more"},
};

int64_t Value(const NodeFacts& facts, const char* name, int64_t otherwise) {
  const auto found = facts.sysctls.find(name);
  return found == facts.sysctls.end() ? otherwise : found->second;
}

Finding CheckLimit(const NodeFacts& facts, const Limit& limit) {
  const int64_t value = Value(facts, limit.name, limit.enough);
  const std::string found = absl::StrCat(value);
  if (value >= limit.enough) return Good(limit.name, found);
  return {
      Level::kWarning, limit.name, found, limit.meaning,
      absl::StrCat("sysctl -w ", limit.name, "=", limit.enough, ", and keep it in /etc/sysctl.d")};
}

// Of IPv6 nobody but the network's agent knows whether pods have it.
std::vector<Finding> CheckForwarding(const NodeFacts& facts) {
  constexpr char kIPv4[] = "net.ipv4.ip_forward";
  constexpr char kIPv6[] = "net.ipv6.conf.all.forwarding";
  std::vector<Finding> findings;
  const bool built_in = BuiltInServes(facts);
  const char* const turned_on = "off; the built-in network turns it on with its first pod";
  if (Value(facts, kIPv4, 0) > 0) {
    findings.push_back(Good(kIPv4, "on"));
  } else if (built_in) {
    findings.push_back(Good(kIPv4, turned_on));
  } else {
    findings.push_back({Level::kWarning, kIPv4, "off",
                        "pods reach nothing beyond this node, unless a plugin turns it on",
                        absl::StrCat("sysctl -w ", kIPv4, "=1, and keep it in /etc/sysctl.d")});
  }
  findings.push_back(Good(kIPv6, Value(facts, kIPv6, 0) > 0 ? "on"
                                 : built_in                 ? turned_on
                                                            : "off; right unless pods have IPv6"));
  return findings;
}

// kube-proxy's rules must see packets between two pods of one bridge.
Finding CheckBridgeFilter(const NodeFacts& facts) {
  constexpr char kName[] = "net.bridge.bridge-nf-call-iptables";
  const int64_t value = Value(facts, kName, -1);
  if (value > 0) return Good(kName, "on");
  if (!facts.kubelet.installed) return Good(kName, "not needed without a kubelet");
  return {Level::kWarning, kName, value < 0 ? "br_netfilter is not loaded" : "off",
          "a service whose pod is on the client's own node cannot be reached where a bridge "
          "connects pods and "
          "kube-proxy uses iptables",
          absl::StrCat("modprobe br_netfilter && sysctl -w ", kName,
                       "=1, and keep both in /etc/modules-load.d and /etc/sysctl.d")};
}

}  // namespace

std::vector<Finding> CheckNetwork(const NodeFacts& facts) {
  std::vector<Finding> findings = {CheckCni(facts.network.cni), CheckBridgeFilter(facts)};
  for (Finding& finding : CheckForwarding(facts)) findings.push_back(std::move(finding));
  for (Finding& finding : CheckSubnets(facts)) findings.push_back(std::move(finding));
  for (const PortFacts& port : facts.network.ports) findings.push_back(CheckPort(port));
  return findings;
}

std::vector<Finding> CheckSysctls(const NodeFacts& facts) {
  std::vector<Finding> findings;
  for (const Limit& limit : kLimits) findings.push_back(CheckLimit(facts, limit));
  return findings;
}

}  // namespace crisp::cli
