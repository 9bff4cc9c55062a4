// crispd: reads the configuration, composes the daemon, waits for a signal.
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/log.h"
#include "base/log_writer.h"
#include "base/pipe.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "cri/config/config.h"
#include "cri/config/config_check.h"
#include "cri/daemon/daemon.h"
#include "cri/daemon/grpc_threads.h"
#include "cri/node/hardening.h"
#include "cri/node/node_info.h"

namespace crisp::cri {
namespace {

constexpr char kDefaultConfig[] = "/etc/crisp/config.yaml";
// For short RPCs; who waits for more is told to ask the next daemon.
constexpr absl::Duration kShutdownGrace = absl::Milliseconds(500);

// The flags of the command line. They win over the files.
struct Flags {
  std::string config = kDefaultConfig;
  std::optional<std::string> root, state, listen, metrics_address, log_level, network_name, shim,
      cgroup_driver, cni_conf_dir;
  std::vector<std::string> subnets;
};

void AddFlags(CLI::App& app, Flags& flags) {
  app.add_option("--config", flags.config, "Configuration file; config.d beside it is read too")
      ->capture_default_str();
  app.add_option("--root", flags.root, "Durable data: images, writable layers");
  app.add_option("--state", flags.state, "Run-time state, on a tmpfs");
  app.add_option("--listen", flags.listen, "Socket of the CRI: unix:///PATH");
  app.add_option("--metrics-address", flags.metrics_address, "HOST:PORT of /metrics, empty: none");
  app.add_option("--log-level", flags.log_level, "debug, info, warn or error");
  app.add_option("--network-name", flags.network_name, "Bridge and table of the built-in network");
  app.add_option("--subnet", flags.subnets, "Subnets of the built-in network")->delimiter(',');
  app.add_option("--cni-conf-dir", flags.cni_conf_dir, "Directory of CNI configurations");
  app.add_option("--cgroup-driver", flags.cgroup_driver, "cgroupfs or systemd");
  app.add_option("--shim", flags.shim, "Path of crisp-shim");
}

absl::StatusOr<Config> EffectiveConfig(const CLI::App& app, const Flags& flags) {
  CRISP_ASSIGN_OR_RETURN(
      Config config, LoadConfig(flags.config, app.count("--config") > 0 ? ConfigFile::kRequired
                                                                        : ConfigFile::kOptional));
  const auto set = [&config](const char* key, const std::optional<std::string>& from,
                             std::string& to) {
    if (!from.has_value()) return;
    to = *from;
    config.places[key] = "the command line";
  };
  set("root", flags.root, config.root);
  set("state", flags.state, config.state);
  set("listen", flags.listen, config.listen);
  set("metrics.address", flags.metrics_address, config.metrics.address);
  set("log_level", flags.log_level, config.log_level);
  set("network.name", flags.network_name, config.network.bridge_name);
  set("network.cni_conf_dir", flags.cni_conf_dir, config.network.cni_conf_dir);
  set("runtime.cgroup_driver", flags.cgroup_driver, config.runtime.cgroup_driver);
  set("runtime.shim", flags.shim, config.runtime.shim);
  if (!flags.subnets.empty()) {
    config.network.subnets = flags.subnets;
    config.places["network.subnets"] = "the command line";
  }
  CRISP_RETURN_IF_ERROR(config.Validate());
  return config;
}

// A configuration that crispd can start with, or why there is none.
using ReadConfig = std::function<absl::StatusOr<Config>()>;

// The descriptor to which a handler writes the number of its signal.
int g_signals = -1;

void TellSignal(int signal) {
  const int saved = errno;
  const char number = static_cast<char>(signal);
  if (write(g_signals, &number, 1) < 0) {
    // Only when the pipe is full of earlier signals.
  }
  errno = saved;
}

// Returns the pipe's end that gives the numbers of the signals that came. SIGTERM and SIGINT stop
// the daemon, SIGUSR1 has it log its state, SIGHUP has it read its configuration again. SIGUSR2,
// with which operators have other daemons do things, is noted and never ends it. Handlers rather
// than blocked or ignored signals: those would be inherited by every program that is started from
// here, handlers end with its exec.
absl::StatusOr<UniqueFd> CatchSignals() {
  CRISP_ASSIGN_OR_RETURN(Pipe pipe, MakePipe("a pipe", O_NONBLOCK));
  g_signals = pipe.write_end.release();
  struct sigaction tell {};
  tell.sa_handler = TellSignal;
  tell.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP}) {
    if (sigaction(signal, &tell, nullptr) != 0) return ErrnoError(errno, "catch signals");
  }
  struct sigaction nothing {};
  nothing.sa_handler = [](int) {};
  nothing.sa_flags = SA_RESTART;
  if (sigaction(SIGPIPE, &nothing, nullptr) != 0) return ErrnoError(errno, "catch signals");
  return std::move(pipe.read_end);
}

// Reads the configuration again. What can change beside running pods takes effect, the rest is
// named. A configuration that crispd would not start with changes nothing.
void Reload(const ReadConfig& read_config, Config& running) {
  const absl::StatusOr<Config> next = read_config();
  if (!next.ok()) {
    LogError("reload.refused", {{"error", next.status().message()}});
    return;
  }
  running.log_level = next->log_level;
  const auto tell = [&] {
    LogInfo("reloaded", {{"log_level", next->log_level},
                         {"needs_restart", absl::StrJoin(ChangedKeys(running, *next), ",")}});
  };
  // Where the level before or the new one shows it.
  const bool shown = LogEnabled(LogLevel::kInfo);
  if (shown) tell();
  (void)SetLogLevel(next->log_level);
  if (!shown) tell();
}

// Returns when a stop signal came; meanwhile tells systemd's watchdog that we live.
void WaitForStop(int signals, const Daemon& daemon, const ReadConfig& read_config, Config config) {
  uint64_t watchdog_us = 0;
  const bool watched = sd_watchdog_enabled(0, &watchdog_us) > 0;
  const int timeout_ms = watched ? static_cast<int>(watchdog_us / 2000) : -1;
  pollfd wait{.fd = signals, .events = POLLIN};
  while (true) {
    const int ready = poll(&wait, 1, timeout_ms);
    if (ready == 0) sd_notify(0, "WATCHDOG=1");
    char number = 0;
    if (ready <= 0 || read(signals, &number, 1) != 1) continue;
    if (number == SIGTERM || number == SIGINT) return;
    if (number == SIGUSR1) {
      daemon.LogState();
    } else if (number == SIGHUP) {
      Reload(read_config, config);
    } else {
      LogInfo("signal.ignored",
              {{"signal", strsignal(number)},
               {"next", "SIGUSR1 logs the state; SIGHUP reads the configuration again"}});
    }
  }
}

// Every doubling of a table that threads share waits for an RCU grace period, and with it whoever
// opens a descriptor: 10 to 20 ms each, six times on the way to a thousand pods (who take four
// each). Nobody has to wait while there is one thread.
void GrowDescriptorTable(rlim_t limit) {
  constexpr rlim_t kDescriptors = 8192;
  const UniqueFd any(eventfd(0, EFD_CLOEXEC));
  const UniqueFd last(
      fcntl(any.get(), F_DUPFD_CLOEXEC, static_cast<int>(std::min(limit, kDescriptors)) - 1));
}

// Few arenas, since bursts of RPC threads must not leave their peak behind. Free memory is kept for
// the next request until PodManager trims it, so that a list of a thousand pods does not fault its
// pages in anew each time.
void TuneProcess() {
  // Debian's Abseil looks for lock cycles at every lock; TSan does that for us.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 2 << 20);
  mallopt(M_TRIM_THRESHOLD, 4 << 20);
  struct rlimit files {};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
  }
  GrowDescriptorTable(files.rlim_cur);
}

absl::StatusOr<Listener> OpenListener(const Config& config) {
  absl::StatusOr<Listener> passed = Listener::FromSystemd();
  if (!absl::IsNotFound(passed.status())) return passed;
  return Listener::Bind(config.SocketPath());
}

// Of the operator's socket; none if there is to be none.
absl::StatusOr<std::optional<Listener>> OpenOperatorListener(const Config& config) {
  const std::string path = config.OperatorSocketPath();
  if (path.empty()) return std::optional<Listener>();
  CRISP_ASSIGN_OR_RETURN(Listener listener, Listener::Bind(path));
  return std::optional<Listener>(std::move(listener));
}

absl::Status Serve(const Config& config, const ReadConfig& read_config) {
  if (const absl::Status hard = HardenProcess(); !hard.ok()) {
    LogWarning("crispd is less hardened than it could be", {{"reason", hard.message()}});
  }
  TuneProcess();
  // Before the first RPC could wait for whoever reads the log.
  CRISP_RETURN_IF_ERROR(StartLogWriter());
  CRISP_RETURN_IF_ERROR(KeepThreadsForGrpc());
  CRISP_ASSIGN_OR_RETURN(const UniqueFd signals, CatchSignals());
  CRISP_ASSIGN_OR_RETURN(const std::unique_ptr<Daemon> daemon, Daemon::Create(config));
  CRISP_ASSIGN_OR_RETURN(Listener listener, OpenListener(config));
  CRISP_ASSIGN_OR_RETURN(std::optional<Listener> for_operator, OpenOperatorListener(config));
  CRISP_RETURN_IF_ERROR(daemon->Serve(std::move(listener), std::move(for_operator)));
  sd_notify(0, "READY=1");
  WaitForStop(signals.get(), *daemon, read_config, config);
  sd_notify(0, "STOPPING=1");
  LogInfo("stopping");
  daemon->Shutdown(kShutdownGrace);
  return absl::OkStatus();
}

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  LogError("crispd failed", {{"error", status.message()}});
  return 1;
}

// The instance is gone, so anything left elsewhere is worth a warning only.
int Reset(const Config& config) {
  const absl::StatusOr<std::vector<std::string>> undone = ResetInstance(config);
  if (!undone.ok()) return Report(undone.status());
  for (const std::string& what : *undone) {
    fprintf(stderr, "crispd reset: warning: not undone: %s\n", what.c_str());
  }
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("crispd: a Kubernetes container runtime (CRI v1) in one daemon");
  app.set_version_flag("--version", std::string("crispd ") + kVersion);
  app.fallthrough();
  Flags flags;
  AddFlags(app, flags);
  CLI::App* config_command = app.add_subcommand("config", "Look at the configuration");
  config_command->require_subcommand(1);
  CLI::App* dump = config_command->add_subcommand("dump", "Print the effective configuration");
  CLI::App* reset = app.add_subcommand(
      "reset", "End every pod of the instance and remove every trace of it, images included");
  app.require_subcommand(0, 1);
  CLI11_PARSE(app, argc, argv);

  const auto config = EffectiveConfig(app, flags);
  if (!config.ok()) return Report(config.status());
  (void)SetLogLevel(config->log_level);  // both are valid
  (void)SetLogFormat(config->log_format);
  // An instance is reset also where a file that its configuration names has gone.
  if (reset->parsed()) return Reset(*config);
  if (const absl::Status usable = CheckConfig(*config); !usable.ok()) return Report(usable);
  if (dump->parsed()) {
    fputs(DumpConfig(*config).c_str(), stdout);
    return 0;
  }
  return Report(Serve(*config, [&]() -> absl::StatusOr<Config> {
    CRISP_ASSIGN_OR_RETURN(Config next, EffectiveConfig(app, flags));
    CRISP_RETURN_IF_ERROR(CheckConfig(next));
    return next;
  }));
}

}  // namespace
}  // namespace crisp::cri

int main(int argc, char** argv) {
  const int code = crisp::cri::Main(argc, argv);
  (void)crisp::FlushLog(absl::Seconds(2));  // a journal that takes nothing does not keep us
  return code;
}
