#ifndef CRISP_CRI_API_OPERATOR_ANNOTATIONS_H_
#define CRISP_CRI_API_OPERATOR_ANNOTATIONS_H_

// Annotations with which an operator's client asks for what the CRI has no field for. The daemon
// honours them on pods that were made over the operator's socket, and on the containers of such
// pods. It overlooks them on any other pod: tenants can write annotations. A value that breaks a
// rule is refused with INVALID_ARGUMENT, by RunPodSandbox or CreateContainer. An absent annotation
// and an empty value ask for nothing.
namespace crisp::cri {

// On the pod, in PodSandboxConfig.annotations.

// "true" or "false". With "true" the daemon stops and removes the pod, with its containers, when
// every container of it has exited or was removed, and at least one had been started. It does so
// also if the last container exited while the daemon was away. The containers' logs go with the pod
// only if they lie in the pod's own directory.
inline constexpr char kRemoveOnExitAnnotation[] = "io.crisp.remove-on-exit";

// "none": the pod has a network namespace of its own with a loopback interface that is up, no
// address, no CNI attachment and no host ports. Refused together with the host's network namespace,
// and with port mappings. No other value is known.
inline constexpr char kNetworkAnnotation[] = "io.crisp.network";
inline constexpr char kNetworkNone[] = "none";

// The size of the pod's /dev/shm in bytes, a decimal number of at least 1. The default is 64 MiB.
// Refused together with the host's IPC namespace.
inline constexpr char kShmSizeAnnotation[] = "io.crisp.shm-size";

// On the container, in ContainerConfig.annotations.

// Resource limits, as "NAME=SOFT[:HARD],…", with docker's names: as, core, cpu, data, fsize, locks,
// memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack. Without a HARD it
// is the SOFT one. A number is decimal; -1 or "unlimited" is no limit. Values have the kernel's
// units (bytes for core, memlock, …; seconds for cpu). A soft limit above its hard one, a name that
// stands twice, and a hard limit above the daemon's own are refused.
inline constexpr char kUlimitsAnnotation[] = "io.crisp.ulimits";

// Limits of block devices, as "PATH:RATE,…": PATH is a block device of the node, RATE a decimal
// number of bytes or operations a second, at least 1. They are added to the limits of the block IO
// class that the container has, and win where both name a device.
inline constexpr char kDeviceReadBpsAnnotation[] = "io.crisp.device-read-bps";
inline constexpr char kDeviceWriteBpsAnnotation[] = "io.crisp.device-write-bps";
inline constexpr char kDeviceReadIopsAnnotation[] = "io.crisp.device-read-iops";
inline constexpr char kDeviceWriteIopsAnnotation[] = "io.crisp.device-write-iops";

}  // namespace crisp::cri

#endif  // CRISP_CRI_API_OPERATOR_ANNOTATIONS_H_
