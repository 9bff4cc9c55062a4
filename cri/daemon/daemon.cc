#include "cri/daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/host_port.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/node/programs.h"
#include "cri/node/thread_states.h"
#include "cri/pods/pod_inputs.h"
#include "cri/pods/pod_reset.h"
#include "metrics/process.h"
#include "runtime/crisp/crisp_finder.h"
#include "runtime/crisp/crisp_runtime.h"

namespace crisp::cri {
namespace {

constexpr absl::Duration kResetLimit = absl::Minutes(2);

absl::StatusOr<std::string> ShimPath(const Config& config) {
  if (!config.runtime.shim.empty()) return config.runtime.shim;
  return HelperPath("crisp-shim");
}

storage::ImageStoreOptions StoreOptions(const Config& config, std::string unpacker) {
  storage::ImageStoreOptions options = config.image;
  options.root = config.root;
  options.unpacker = std::move(unpacker);
  return options;
}

// Those that are fixed. A port that the kernel chooses is bound before the first pod comes.
std::vector<uint16_t> OwnPorts(const Config& config) {
  std::vector<uint16_t> ports;
  for (const std::string* address : {&config.metrics.address, &config.streaming.address}) {
    const absl::StatusOr<HostPort> parsed = HostPort::Parse(*address);
    if (parsed.ok() && parsed->port != 0) ports.push_back(static_cast<uint16_t>(parsed->port));
  }
  return ports;
}

network::NetworkOptions NetworkOptionsOf(const Config& config) {
  using Builtin = network::NetworkOptions::Builtin;
  const std::string& builtin = config.network.builtin;
  network::NetworkOptions options = config.network;
  options.root = absl::StrCat(config.root, "/network");
  options.state = absl::StrCat(config.state, "/network");
  options.own_ports = OwnPorts(config);
  options.serves = builtin == "always"  ? Builtin::kAlways
                   : builtin == "never" ? Builtin::kNever
                                        : Builtin::kAuto;
  return options;
}

runtime::CgroupDriver DriverOf(const Config& config) {
  return config.runtime.cgroup_driver == "systemd" ? runtime::CgroupDriver::kSystemd
                                                   : runtime::CgroupDriver::kCgroupfs;
}

std::vector<runtime::HandlerOptions> HandlersOf(const Config& config) {
  std::vector<runtime::HandlerOptions> handlers;
  for (const HandlerConfig& handler : config.runtime.handlers)
    handlers.push_back({.name = handler.name, .type = handler.type});
  return handlers;
}

PodManagerOptions PodOptions(const Config& config, std::string path_helper) {
  return {.state = config.state,
          .root = config.root,
          .cgroup_driver = DriverOf(config),
          .handlers = HandlersOf(config),
          .cgroup_writable_handlers = config.runtime.cgroup_writable_handlers,
          .selinux = config.runtime.selinux != "off",
          .selinux_required = config.runtime.selinux == "required",
          .selinux_categories = static_cast<int>(config.runtime.selinux_category_range),
          .own_devices = config.runtime.device_ownership_from_security_context,
          .blockio_config_file = config.runtime.blockio_config_file,
          .cdi_spec_dirs = config.runtime.cdi_spec_dirs,
          .path_helper = std::move(path_helper),
          .path_timeout = config.runtime.path_timeout,
          .spare_roots = static_cast<int>(config.runtime.spare_roots),
          .attach_spares = config.network.attach_spares && config.runtime.spare_pods > 0};
}

// One of each type that there is; crisp's own is the first.
absl::StatusOr<std::vector<std::unique_ptr<runtime::PodRuntime>>> RuntimesOf(
    const Config& config,
    const std::string& shim,
    const NodeContext& node,
    runtime::PodObserver* observer) {
  const KernelFeatures kernel = ProbeKernel();
  CRISP_ASSIGN_OR_RETURN(runtime::PodSpec usual, UsualPodSpec());
  auto crisp = runtime::CrispRuntime::Create(
      {.shims = {.shim_binary = shim,
                 .storage_root = config.root,
                 .spares = static_cast<int>(config.runtime.spare_pods),
                 .log_rate = static_cast<uint64_t>(config.runtime.max_log_rate) << 20},
       .usual_pod = std::move(usual),
       .cgroups = node.layout,
       .empty_layer = node.layers.empty,
       .recursive_read_only_mounts = kernel.recursive_read_only,
       .no_user_namespaces = kernel.no_user_namespaces},
      observer);
  if (!crisp.ok()) return Annotate(crisp.status(), "prepare the shims");
  std::vector<std::unique_ptr<runtime::PodRuntime>> runtimes;
  runtimes.push_back(*std::move(crisp));
  return runtimes;
}

absl::StatusOr<UniqueFd> LockInstance(const std::string& state) {
  CRISP_RETURN_IF_ERROR(MakeDirs(state, 0711));
  const std::string path = absl::StrCat(state, "/lock");
  CRISP_ASSIGN_OR_RETURN(UniqueFd lock, Open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return ErrnoError(errno, absl::StrCat("lock ", path));
  return absl::FailedPreconditionError(
      absl::StrCat("another crispd serves the state directory ", state));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Create(Config config) {
  auto daemon = std::unique_ptr<Daemon>(new Daemon(std::move(config)));
  CRISP_ASSIGN_OR_RETURN(daemon->lock_, LockInstance(daemon->config_.state));
  CRISP_RETURN_IF_ERROR(daemon->OpenStores());
  CRISP_RETURN_IF_ERROR(daemon->OpenPods());
  daemon->AddMetrics();
  return daemon;
}

absl::Status Daemon::OpenStores() {
  CRISP_RETURN_IF_ERROR(MakeDirs(config_.root, 0711));
  CRISP_ASSIGN_OR_RETURN(std::string unpacker, HelperPath("crisp-unpacker"));
  auto images = storage::ImageStore::Open(StoreOptions(config_, std::move(unpacker)));
  if (!images.ok()) return Annotate(images.status(), "open the image store");
  images_ = *std::move(images);
  auto network = network::PodNetwork::Create(NetworkOptionsOf(config_));
  if (!network.ok()) return Annotate(network.status(), "open the network");
  network_ = *std::move(network);
  return absl::OkStatus();
}

absl::Status Daemon::OpenPods() {
  CRISP_ASSIGN_OR_RETURN(std::string path_helper, HelperPath("crisp-paths"));
  CRISP_ASSIGN_OR_RETURN(const std::string shim, ShimPath(config_));
  const auto make_runtimes = [&](const NodeContext& node, runtime::PodObserver* observer) {
    return RuntimesOf(config_, shim, node, observer);
  };
  auto pods = PodManager::Create(PodOptions(config_, std::move(path_helper)),
                                 {.images = images_.get(),
                                  .network = network_.get(),
                                  .make_runtimes = make_runtimes,
                                  .metrics = &metrics_});
  if (!pods.ok()) return Annotate(pods.status(), "open the pods");
  pods_ = *std::move(pods);
  operators_pods_ = std::make_unique<OperatorView>(*pods_);
  return Annotate(pods_->Recover(), "recover the pods");
}

void Daemon::AddMetrics() {
  scrapes_ = metrics::AddProcessMetrics(metrics_, kVersion);
  scrapes_.push_back(metrics_.OnScrape(
      metrics::kImages, [this] { return static_cast<double>(images_->List().size()); }));
  scrapes_.push_back(metrics_.OnScrape(metrics::kImageStoreBytes, [this] {
    return static_cast<double>(images_->ImageUsage().used_bytes);
  }));
  AddPodMetrics();
  scrapes_.push_back(metrics_.OnScrape(metrics::kNetworkReady,
                                       [this] { return network_->Condition().ready ? 1.0 : 0.0; }));
}

void Daemon::AddPodMetrics() {
  using Stage = state::ContainerRecord;
  scrapes_.push_back(metrics_.OnScrape(metrics::kPods,
                                       [this] { return pods_->queries().ReadyPods(); }, {"ready"}));
  scrapes_.push_back(metrics_.OnScrape(
      metrics::kPods, [this] { return pods_->queries().NotReadyPods(); }, {"notready"}));
  for (const auto& [name, stage] : {std::pair{"created", Stage::CREATED},
                                    {"running", Stage::RUNNING},
                                    {"exited", Stage::EXITED}}) {
    scrapes_.push_back(metrics_.OnScrape(
        metrics::kContainers,
        [this, stage = stage] { return pods_->queries().ContainersIn(stage); }, {name}));
  }
  scrapes_.push_back(metrics_.OnScrape(
      metrics::kEventsDropped, [this] { return static_cast<double>(pods_->DroppedEvents()); }));
  scrapes_.push_back(metrics_.OnScrape(metrics::kOomKills,
                                       [this] { return static_cast<double>(pods_->OomKills()); }));
}

absl::Status Daemon::ServeStreams() {
  if (config_.streaming.address.empty()) return absl::OkStatus();
  streaming_backend_ = std::make_unique<StreamingBackend>(pods_->table(), pods_->executions());
  sessions_ = std::make_unique<streaming::Sessions>(
      *streaming_backend_, metrics_,
      streaming::SessionOptions{.creation_timeout = config_.streaming.handshake_timeout});
  auto server = streaming::Server::Start(config_.streaming, sessions_->handler());
  if (!server.ok()) return Annotate(server.status(), "start the streaming server");
  streaming_ = *std::move(server);
  session_rpcs_ = std::make_unique<SessionRpcs>(pods_->table(), *streaming_);
  return absl::OkStatus();
}

Daemon::Services Daemon::MakeServices(View view, const KernelFeatures& features) {
  PodApi& pods = view == View::kOperator ? static_cast<PodApi&>(*operators_pods_) : *pods_;
  const auto removed = [this](const std::string& image_id) { pods_->ForgetImage(image_id); };
  // The kubelet collects images that it sees no container of.
  const auto in_use = [this, view] {
    return view == View::kOperator ? ImageService::ImageIds() : pods_->queries().ImagesOfOperator();
  };
  return {
      .runtime = std::make_unique<RuntimeService>(rpc_threads_, config_, *network_, pods,
                                                  *session_rpcs_, features),
      .image = std::make_unique<ImageService>(rpc_threads_, *images_, metrics_, removed, in_use),
      .admin = std::make_unique<AdminService>(rpc_threads_, config_, *images_, pods, features)};
}

absl::Status Daemon::Serve(Listener listener, std::optional<Listener> for_operator) {
  if (!config_.metrics.address.empty()) {
    CRISP_ASSIGN_OR_RETURN(metrics_server_,
                           MetricsServer::Start(config_.metrics.address, metrics_));
  }
  CRISP_RETURN_IF_ERROR(ServeStreams());
  const KernelFeatures features = ProbeKernel();
  kubelet_services_ = MakeServices(View::kKubelet, features);
  std::vector<Door> doors;
  doors.push_back({.listener = std::move(listener), .services = kubelet_services_.all()});
  if (for_operator.has_value()) {
    operator_services_ = MakeServices(View::kOperator, features);
    doors.push_back({.listener = *std::move(for_operator), .services = operator_services_.all()});
  }
  CRISP_ASSIGN_OR_RETURN(server_, Server::Start(std::move(doors), metrics_));
  pods_->WarmUp();
  LogInfo("serving", {{"version", kVersion},
                      {"socket", config_.SocketPath()},
                      {"operator_socket", config_.OperatorSocketPath()},
                      {"metrics_port", metrics_server_ == nullptr ? 0 : metrics_server_->port()},
                      {"streaming_port", streaming_ == nullptr ? 0 : streaming_->port()},
                      {"pods", pods_->PodCount()},
                      {"kernel", features.release}});
  return absl::OkStatus();
}

void Daemon::LogState() const {
  LogInfo("state", {{"version", kVersion},
                    {"pods_ready", pods_->queries().ReadyPods()},
                    {"pods", pods_->PodCount()},
                    {"running", pods_->queries().ContainersIn(state::ContainerRecord::RUNNING)},
                    {"images", images_->List().size()},
                    {"stuck_paths", pods_->StuckPathHelpers()},
                    {"streams", streaming_ == nullptr ? 0 : streaming_->connections()},
                    {"metrics_port", metrics_server_ == nullptr ? 0 : metrics_server_->port()}});
  for (const ThreadState& thread : ThreadsOfThisProcess()) {
    LogInfo("thread", {{"id", thread.id},
                       {"name", thread.name},
                       {"state", thread.state},
                       {"waits_in", thread.waits_in}});
  }
}

void Daemon::Shutdown(absl::Duration grace) {
  if (server_ == nullptr) return;
  // New clients are refused, so that they ask the next daemon. Clients that listen for events are
  // told of the end. Then those that wait are let go: the operations for which they wait are
  // recorded, and the next daemon ends them.
  server_->StopAccepting();
  pods_->EndStreams();
  server_->Shutdown(grace);
}

Daemon::~Daemon() {
  server_.reset();
  streaming_.reset();  // ends the sessions, which use the pods
  sessions_.reset();
  metrics_server_.reset();
  scrapes_.clear();
}

absl::StatusOr<std::vector<std::string>> ResetInstance(const Config& config) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd lock, LockInstance(config.state));
  auto opened = network::PodNetwork::Create(NetworkOptionsOf(config));
  network::PodNetwork* const network = opened.ok() ? opened->get() : nullptr;
  if (network != nullptr) network->BeginRemoval();
  const runtime::CrispFinder crisp;
  std::vector<std::string> undone =
      EndEveryPod({.state = config.state, .cgroup_driver = DriverOf(config), .finders = {&crisp}},
                  network, Operation(absl::Now() + kResetLimit));
  const absl::Status reset = opened.ok() ? network->Reset() : opened.status();
  if (!reset.ok()) undone.push_back(absl::StrCat("take the network down: ", reset.message()));
  if (network != nullptr) {
    for (const std::string& what : network->LeftBehind()) undone.push_back(what);
  }
  opened = absl::UnavailableError("reset");  // lets go of its files
  CRISP_RETURN_IF_ERROR(RemoveTree(config.root));
  CRISP_RETURN_IF_ERROR(RemoveTree(config.state));
  return undone;
}

}  // namespace crisp::cri
