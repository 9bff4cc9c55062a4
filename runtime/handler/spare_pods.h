#ifndef CRISP_RUNTIME_HANDLER_SPARE_PODS_H_
#define CRISP_RUNTIME_HANDLER_SPARE_PODS_H_

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace crisp::runtime {

// Makes a network in a namespace that no pod has yet. `rtnl_fd` is a NETLINK_ROUTE socket inside;
// both are borrowed during the call.
using PrepareNetwork =
    std::function<absl::Status(const std::string& key, int netns_fd, int rtnl_fd)>;

// Pods that were made before there is anybody for them, of a runtime that can do that.
class SparePods {
 public:
  virtual ~SparePods() = default;
  // Replaces those that were taken, without waiting for the new ones. Not part of StartPod(): the
  // kernel makes network namespaces and links one at a time, and the pod's own links come first.
  virtual void Add() = 0;
  // Calls `prepare` for each that it has not succeeded for, with a key of the spare's own; those
  // that are just starting are waited for, a tenth of a second in all (DeadlineExceeded: not all
  // are ready). The first failure ends it. No pod gets a spare that is being prepared. A spare that
  // ends, or is never taken, takes its namespace along.
  virtual absl::Status Prepare(const PrepareNetwork& prepare) = 0;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_HANDLER_SPARE_PODS_H_
