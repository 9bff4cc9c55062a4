#include "cli/explain/explain_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace crisp::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(24 * 365 * 50);

ExplainFacts Running() {
  ExplainFacts facts;
  facts.id = "c1c1c1c1c1c1c1c1";
  facts.name = "shop/web/nginx";
  facts.pod_id = "p1p1p1p1p1p1p1p1";
  facts.pod_name = "shop/web";
  facts.image = "nginx:1";
  facts.image_id = "sha256:abcabcabcabcabc";
  facts.state = "running";
  facts.created = facts.started = kNow - absl::Minutes(3);
  facts.args = {"nginx", "-g", "daemon off;"};
  facts.directory = "/";
  facts.pid = 4711;
  facts.namespaces = {{.name = "pid", .inode = 11},
                      {.name = "net", .inode = 12, .shared_with = {"shop/web/sidecar"}},
                      {.name = "user", .inode = 13, .of_host = true}};
  facts.cgroups = {"/sys/fs/cgroup/memory/crisp/c1"};
  facts.limits = {.cpu_quota = 50000, .cpu_period = 100000, .cpu_shares = 512};
  runtime::CgroupStats usage;
  usage.cpu.usage_ns = 1500000000;
  usage.cpu.periods = 100;
  usage.cpu.throttled_periods = 3;
  usage.cpu.throttled_ns = 20000000;
  usage.memory.usage = 4u << 20;
  usage.memory.limit = 64u << 20;
  usage.memory.max_usage = 5u << 20;
  usage.pids.current = 2;
  facts.usage = usage;
  facts.layers = {{.digest = "sha256:1111111111111111",
                   .bytes = 1000,
                   .unpacked_bytes = 4096,
                   .created_by = "ADD rootfs",
                   .images = {"other:2"},
                   .containers = {"shop/web/sidecar"}}};
  facts.written_bytes = 8192;
  facts.written_files = 3;
  facts.mounts = {
      {.destination = "/proc", .source = "proc", .type = "proc"},
      {.destination = "/data", .source = "/srv/data", .type = "bind", .options = {"rw"}},
      {.destination = "/etc/hosts", .source = "pod:hosts", .type = "bind"}};
  facts.security = {.user = "0:0", .capabilities = {"CHOWN", "KILL"}, .bounding = 2};
  facts.network = {.addresses = {"10.79.0.5"},
                   .inside = InterfaceFact{.name = "eth0", .mac = "02:00:00:00:00:01", .mtu = 1500},
                   .veth = "veth12",
                   .bridge = "crisp0",
                   .ports = {{.protocol = "tcp", .host_port = 8080, .container_port = 80}}};
  facts.log = "/var/log/pods/x/0.log";
  facts.log_bytes = 2048;
  const absl::Time began = kNow - absl::Minutes(3);
  facts.steps = {
      {"CreateContainer", "storage", began, absl::Microseconds(500)},
      {"CreateContainer", "shim", began + absl::Microseconds(500), absl::Milliseconds(2)},
      {"StartContainer", "shim", began + absl::Milliseconds(12), absl::Milliseconds(1)}};
  return facts;
}

std::string Text(const ExplainFacts& facts, bool show_me = false) {
  return RenderContainer(facts, {.colours = {}, .show_me = show_me, .now = kNow});
}

TEST(ExplainTextTest, SaysWhatMakesAContainer) {
  const std::string text = Text(Running());
  for (const char* line : {"Container shop/web/nginx (c1c1c1c1c1c1c1c1)",
                           "running for 3 minutes",
                           "nginx -g daemon off;",
                           "4711 on the node",
                           "shop/web (p1p1p1p1p1p1)",
                           "/var/log/pods/x/0.log, 2.0 KiB",
                           "pid            11  its own",
                           "network        12  shared with shop/web/sidecar",
                           "user           13  the node's own",
                           "at most 0.50 processors (50000 of every 100000 µs), 512 shares",
                           "used 1.50 s, held back in 3 of 100 periods, 0.02 s",
                           "4.0 MiB of 64.0 MiB, at most 5.0 MiB",
                           "out of memory  never",
                           "2 of any number",
                           "4.0 KiB (1000 B to pull)  ADD rootfs",
                           "also in other:2",
                           "also below shop/web/sidecar",
                           "8.0 KiB in 3 files",
                           "/data                     /srv/data",
                           "the pod's hosts",
                           "a new proc",
                           "CHOWN KILL",
                           "all: no seccomp filter",
                           "10.79.0.5",
                           "veth12 in bridge crisp0",
                           "*:8080/tcp on the node is 80 inside",
                           "2.00 ms  shim",
                           "9.50 ms  until the next request"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, Not(HasSubstr("$ ")));
}

TEST(ExplainTextTest, ShowsHowToProveIt) {
  const std::string text = Text(Running(), true);
  EXPECT_THAT(text, HasSubstr("$ ls -l /proc/4711/ns /proc/1/ns"));
  EXPECT_THAT(text, HasSubstr("$ nsenter -t 4711 -n ip address"));
}

TEST(ExplainTextTest, WhatIsOpenToTheNodeIsTinted) {
  ExplainFacts facts = Running();
  facts.network = {.of_host = true};
  facts.namespaces[0].of_host = true;
  const std::string text =
      RenderContainer(facts, {.colours = Colours(true), .show_me = false, .now = kNow});
  EXPECT_THAT(text, HasSubstr("\x1b[33m11  the node's own\x1b[0m"));
  EXPECT_THAT(text, HasSubstr("\x1b[33mthe node's own, with all that listens there\x1b[0m"));
  EXPECT_THAT(text, HasSubstr("\x1b[33m/srv/data\x1b[0m")) << "a container may write there";
}

TEST(ExplainTextTest, AnEndIsSaidInWords) {
  ExplainFacts facts = Running();
  facts.state = "exited";
  facts.pid = 0;
  facts.namespaces.clear();
  facts.usage.reset();
  facts.finished = kNow - absl::Minutes(1);
  facts.exit_code = 137;
  facts.reason = "OOMKilled";
  EXPECT_EQ(StateInWords(facts, kNow),
            "exited with code 137 (ended by SIGKILL) 1 minute ago, having run for 2 minutes: the "
            "kernel killed it, for it had no memory left within its limit");
  EXPECT_THAT(Text(facts), HasSubstr("none while it has no process"));
  EXPECT_THAT(Text(facts), HasSubstr("not there any more"));
  facts.exit_code = 128;
  facts.reason = "StartError";
  facts.message = "no such program: /nope";
  facts.started = absl::UnixEpoch();
  EXPECT_EQ(StateInWords(facts, kNow),
            "exited with code 128 1 minute ago: StartError: no such program: /nope");
}

TEST(ExplainTextTest, OfAPodItSaysWhatItsContainersShare) {
  ExplainFacts facts = Running();
  facts.state = "ready";
  facts.containers = {{.id = "c1c1c1c1c1c1c1c1", .name = "shop/web/nginx", .state = "running"}};
  const std::string text = RenderPod(facts, {.colours = {}, .show_me = false, .now = kNow});
  EXPECT_THAT(text, HasSubstr("Pod shop/web (p1p1p1p1p1p1p1p1)"));
  EXPECT_THAT(text, HasSubstr("shop/web/nginx (c1c1c1c1c1c1), running"));
  EXPECT_THAT(text, HasSubstr("10.79.0.5"));
  EXPECT_THAT(text, Not(HasSubstr("CGROUP")));
}

}  // namespace
}  // namespace crisp::cli
