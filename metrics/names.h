#ifndef CRISP_METRICS_NAMES_H_
#define CRISP_METRICS_NAMES_H_

#include <initializer_list>

namespace crisp::metrics {

// One metric family. Label values are given in the order of `labels`.
struct Family {
  enum class Type { kCounter, kGauge, kHistogram };
  Type type;
  const char* name;
  const char* help;
  // Label keys, comma separated; "" for none.
  const char* labels = "";
};

// The one table of everything that /metrics can show. Units are in the names, counters end in
// _total, and no label may carry a value that a client chooses freely.
#define CRISP_METRICS_TABLE(X)                                                                     \
  X(kRpcSeconds, kHistogram, "crisp_rpc_duration_seconds",                                         \
    "Time from an RPC's first byte to its status.", "method")                                      \
  X(kRpcsFinished, kCounter, "crisp_rpcs_total", "RPCs answered, by gRPC code.", "method,code")    \
  X(kRpcsInFlight, kGauge, "crisp_rpcs_in_flight", "RPCs being served.", "")                       \
  X(kStepSeconds, kHistogram, "crisp_step_seconds",                                                \
    "Time of the steps of operations on pods and containers.", "operation,step")                   \
  X(kImagePulls, kCounter, "crisp_image_pulls_total", "Image pulls, by outcome.", "result")        \
  X(kImagePullsInFlight, kGauge, "crisp_image_pulls_in_flight", "Image pulls being served.", "")   \
  X(kImagePullSeconds, kHistogram, "crisp_image_pull_duration_seconds",                            \
    "Time of successful image pulls.", "")                                                         \
  X(kImages, kGauge, "crisp_images", "Images in the store.", "")                                   \
  X(kImageStoreBytes, kGauge, "crisp_image_store_bytes", "Bytes that the image store occupies.",   \
    "")                                                                                            \
  X(kPods, kGauge, "crisp_pods", "Pods known, by state.", "state")                                 \
  X(kContainers, kGauge, "crisp_containers", "Containers known, by state.", "state")               \
  X(kEventsDropped, kCounter, "crisp_events_dropped_total",                                        \
    "Container events that a slow reader lost.", "")                                               \
  X(kOomKills, kCounter, "crisp_container_oom_kills_total",                                        \
    "Processes in containers that the kernel killed for want of memory.", "")                      \
  X(kNetworkReady, kGauge, "crisp_network_ready", "Whether pods can be given a network (0 or 1).", \
    "")                                                                                            \
  X(kStreamingSessions, kCounter, "crisp_streaming_sessions_total",                                \
    "Exec, attach and port-forward sessions that began.", "kind")                                  \
  X(kStreamingSessionsInFlight, kGauge, "crisp_streaming_sessions_in_flight",                      \
    "Sessions being served.", "kind")                                                              \
  X(kBuildInfo, kGauge, "crisp_build_info", "Always 1; says which build runs.", "version")         \
  X(kProcessCpu, kCounter, "process_cpu_seconds_total", "User and system CPU time of the daemon.", \
    "")                                                                                            \
  X(kProcessResident, kGauge, "process_resident_memory_bytes", "Resident memory of the daemon.",   \
    "")                                                                                            \
  X(kProcessOpenFds, kGauge, "process_open_fds", "Open file descriptors of the daemon.", "")       \
  X(kProcessMaxFds, kGauge, "process_max_fds", "Limit of open file descriptors.", "")              \
  X(kProcessThreads, kGauge, "process_threads", "Threads of the daemon.", "")                      \
  X(kProcessStart, kGauge, "process_start_time_seconds", "Start of the daemon, since the epoch.",  \
    "")

// The meaning of each label's values. A label has the same meaning in every family.
#define CRISP_LABELS_TABLE(X)                                                                    \
  X("code",                                                                                      \
    "gRPC's name of the status that the RPC was answered with, such as `OK` or `NOT_FOUND`.")    \
  X("kind", "`exec`, `attach` or `port_forward`.")                                               \
  X("method", "The RPC's name, such as `RunPodSandbox`.")                                        \
  X("operation", "The RPC's name, or the name of what follows it in the background.")            \
  X("result", "gRPC's name of the pull's status: `OK`, or why it failed.")                       \
  X("state", "Of pods `ready` and `notready`; of containers `created`, `running` and `exited`.") \
  X("step", "The part of the operation, such as its work on the network or on the record.")      \
  X("version", "The version of the build.")

#define CRISP_METRICS_DEFINE_(id, kind, name, help, labels) \
  inline constexpr Family id{Family::Type::kind, name, help, labels};
CRISP_METRICS_TABLE(CRISP_METRICS_DEFINE_)
#undef CRISP_METRICS_DEFINE_

}  // namespace crisp::metrics

#endif  // CRISP_METRICS_NAMES_H_
