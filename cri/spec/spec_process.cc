#include <algorithm>
#include <csignal>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "cri/spec/spec_builder.h"
#include "runtime/oci/default_spec.h"

namespace crisp::cri {
namespace {

struct NamedSignal {
  const char* name;
  int number;
  v1::Signal cri;
};

constexpr NamedSignal kSignals[] = {
    {"ABRT", SIGABRT, v1::SIGNAL_SIGABRT},
    {"ALRM", SIGALRM, v1::SIGNAL_SIGALRM},
    {"BUS", SIGBUS, v1::SIGNAL_SIGBUS},
    {"CHLD", SIGCHLD, v1::SIGNAL_SIGCHLD},
    {"CLD", SIGCHLD, v1::SIGNAL_SIGCLD},
    {"CONT", SIGCONT, v1::SIGNAL_SIGCONT},
    {"FPE", SIGFPE, v1::SIGNAL_SIGFPE},
    {"HUP", SIGHUP, v1::SIGNAL_SIGHUP},
    {"ILL", SIGILL, v1::SIGNAL_SIGILL},
    {"INT", SIGINT, v1::SIGNAL_SIGINT},
    {"IO", SIGIO, v1::SIGNAL_SIGIO},
    {"IOT", SIGABRT, v1::SIGNAL_SIGIOT},
    {"KILL", SIGKILL, v1::SIGNAL_SIGKILL},
    {"PIPE", SIGPIPE, v1::SIGNAL_SIGPIPE},
    {"POLL", SIGPOLL, v1::SIGNAL_SIGPOLL},
    {"PROF", SIGPROF, v1::SIGNAL_SIGPROF},
    {"PWR", SIGPWR, v1::SIGNAL_SIGPWR},
    {"QUIT", SIGQUIT, v1::SIGNAL_SIGQUIT},
    {"SEGV", SIGSEGV, v1::SIGNAL_SIGSEGV},
    {"STKFLT", SIGSTKFLT, v1::SIGNAL_SIGSTKFLT},
    {"STOP", SIGSTOP, v1::SIGNAL_SIGSTOP},
    {"SYS", SIGSYS, v1::SIGNAL_SIGSYS},
    {"TERM", SIGTERM, v1::SIGNAL_SIGTERM},
    {"TRAP", SIGTRAP, v1::SIGNAL_SIGTRAP},
    {"TSTP", SIGTSTP, v1::SIGNAL_SIGTSTP},
    {"TTIN", SIGTTIN, v1::SIGNAL_SIGTTIN},
    {"TTOU", SIGTTOU, v1::SIGNAL_SIGTTOU},
    {"URG", SIGURG, v1::SIGNAL_SIGURG},
    {"USR1", SIGUSR1, v1::SIGNAL_SIGUSR1},
    {"USR2", SIGUSR2, v1::SIGNAL_SIGUSR2},
    {"VTALRM", SIGVTALRM, v1::SIGNAL_SIGVTALRM},
    {"WINCH", SIGWINCH, v1::SIGNAL_SIGWINCH},
    {"XCPU", SIGXCPU, v1::SIGNAL_SIGXCPU},
    {"XFSZ", SIGXFSZ, v1::SIGNAL_SIGXFSZ},
};

// The kernel's numbers: libc takes two of the real-time signals for itself and calls 34 SIGRTMIN,
// and that is what images mean.
constexpr int kRtMin = 34;
constexpr int kRtMax = 64;

absl::StatusOr<int> CriSignal(v1::Signal signal) {
  for (const NamedSignal& known : kSignals) {
    if (known.cri == signal) return known.number;
  }
  if (signal >= v1::SIGNAL_SIGRTMIN && signal <= v1::SIGNAL_SIGRTMAX) {
    return kRtMin + (signal - v1::SIGNAL_SIGRTMIN);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("stop_signal: ", static_cast<int>(signal), " is not a signal of the CRI"));
}

absl::Status CheckBytes(const std::string& text, const char* field) {
  if (text.find('\0') == std::string::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": holds a NUL byte"));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> BuildArgv(const v1::ContainerConfig& container,
                                                   const storage::Image& image) {
  std::vector<std::string> argv(container.command().begin(), container.command().end());
  std::vector<std::string> args(container.args().begin(), container.args().end());
  if (argv.empty()) {
    argv = image.entrypoint;
    // How builders say that there is none.
    if (argv.size() == 1 && argv[0].empty()) argv.clear();
    if (args.empty()) args = image.command;
  }
  argv.insert(argv.end(), args.begin(), args.end());
  if (argv.empty() || argv[0].empty()) {
    return absl::InvalidArgumentError(
        "no command specified: neither command and args nor the image name one");
  }
  for (const std::string& arg : argv) CRISP_RETURN_IF_ERROR(CheckBytes(arg, "command"));
  return argv;
}

absl::StatusOr<std::vector<std::string>> BuildEnv(const v1::ContainerConfig& container,
                                                  const storage::Image& image,
                                                  const std::string& hostname,
                                                  const std::string& home) {
  std::vector<std::string> env;
  absl::flat_hash_map<std::string, size_t> places;
  const auto set = [&](const std::string& key, std::string entry) {
    const auto [it, fresh] = places.try_emplace(key, env.size());
    if (fresh)
      env.push_back(std::move(entry));
    else
      env[it->second] = std::move(entry);
  };
  set("PATH", runtime::kDefaultPath);
  if (container.tty()) set("TERM", "TERM=xterm");
  if (!hostname.empty()) set("HOSTNAME", absl::StrCat("HOSTNAME=", hostname));
  for (const std::string& entry : image.environment) {
    // Others overlook what no variable is, too.
    if (entry.find('=') == std::string::npos || entry[0] == '=') continue;
    set(entry.substr(0, entry.find('=')), entry);
  }
  for (const v1::KeyValue& pair : container.envs()) {
    if (pair.key().empty() || absl::StrContains(pair.key(), "=")) {
      return absl::InvalidArgumentError(absl::StrCat("envs: \"", pair.key(), "\" is not a name"));
    }
    set(pair.key(), absl::StrCat(pair.key(), "=", pair.value()));
  }
  if (!places.contains("HOME")) env.push_back(absl::StrCat("HOME=", home));
  for (const std::string& entry : env) CRISP_RETURN_IF_ERROR(CheckBytes(entry, "envs"));
  return env;
}

absl::StatusOr<runtime::UserRequest> MakeUserRequest(const v1::ContainerConfig& container,
                                                     const storage::Image& image) {
  const v1::LinuxContainerSecurityContext& context = container.linux().security_context();
  if (context.has_run_as_group() && !context.has_run_as_user() &&
      context.run_as_username().empty()) {
    return absl::InvalidArgumentError(
        "run_as_group: needs run_as_user or run_as_username beside it");
  }
  runtime::UserRequest request;
  if (context.has_run_as_user()) request.run_as_user = context.run_as_user().value();
  request.run_as_username = context.run_as_username();
  if (context.has_run_as_group()) request.run_as_group = context.run_as_group().value();
  request.image_user = image.user;
  request.supplemental_groups.assign(context.supplemental_groups().begin(),
                                     context.supplemental_groups().end());
  switch (context.supplemental_groups_policy()) {
    case v1::Merge:
      request.policy = runtime::GroupsPolicy::kMerge;
      break;
    case v1::Strict:
      request.policy = runtime::GroupsPolicy::kStrict;
      break;
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "supplemental_groups_policy: ", static_cast<int>(context.supplemental_groups_policy()),
          " is unknown"));
  }
  return request;
}

absl::StatusOr<int> ParseSignal(const std::string& text) {
  int number = 0;
  if (absl::SimpleAtoi(text, &number)) {
    if (number >= 1 && number <= kRtMax) return number;
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not a signal number"));
  }
  const std::string upper = absl::AsciiStrToUpper(text);
  absl::string_view name = upper;
  absl::ConsumePrefix(&name, "SIG");
  for (const NamedSignal& known : kSignals) {
    if (name == known.name) return known.number;
  }
  int base = 0;
  if (absl::ConsumePrefix(&name, "RTMIN"))
    base = kRtMin;
  else if (absl::ConsumePrefix(&name, "RTMAX"))
    base = kRtMax;
  if (base != 0) {
    if (name.empty()) return base;
    // SimpleAtoi takes the sign, too; only the one that leads inwards makes sense.
    const char sign = base == kRtMin ? '+' : '-';
    if (name[0] == sign && absl::SimpleAtoi(name, &number) && base + number >= kRtMin &&
        base + number <= kRtMax) {
      return base + number;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not a signal name"));
}

absl::StatusOr<int> StopSignalOf(const v1::ContainerConfig& container,
                                 const storage::Image& image) {
  if (container.stop_signal() != v1::SIGNAL_RUNTIME_DEFAULT)
    return CriSignal(container.stop_signal());
  if (image.stop_signal.empty()) return SIGTERM;
  absl::StatusOr<int> signal = ParseSignal(image.stop_signal);
  if (!signal.ok()) return Annotate(signal.status(), "the image's StopSignal");
  return signal;
}

v1::Signal SignalToCri(int signal) {
  for (const NamedSignal& known : kSignals) {
    if (known.number == signal) return known.cri;
  }
  if (signal >= kRtMin && signal <= kRtMax) {
    return static_cast<v1::Signal>(v1::SIGNAL_SIGRTMIN + (signal - kRtMin));
  }
  return v1::SIGNAL_RUNTIME_DEFAULT;
}

}  // namespace crisp::cri
