#ifndef CRISP_RUNTIME_HANDLER_HANDLER_TABLE_H_
#define CRISP_RUNTIME_HANDLER_HANDLER_TABLE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "runtime/handler/pod_runtime.h"

namespace crisp::runtime {

// A handler as the configuration declares it.
struct HandlerOptions {
  std::string name;
  std::string type = "crisp";
  bool operator==(const HandlerOptions&) const = default;
};

// The handlers of a node, by the names that RuntimeClasses give, and the runtimes behind them, by
// their types. Several handlers may be of one type. Thread-safe.
class HandlerTable {
 public:
  struct Handler {
    std::string name;
    PodRuntime* runtime = nullptr;
  };

  // The first of the runtimes serves the pods that name no handler, and is the type of the pods
  // that are recorded without one. InvalidArgument for a type that none of them has, and for a name
  // that is given twice or empty.
  static absl::StatusOr<std::unique_ptr<HandlerTable>> Create(
      const std::vector<HandlerOptions>& handlers,
      std::vector<std::unique_ptr<PodRuntime>> runtimes);

  // The one without a name is the first.
  const std::vector<Handler>& handlers() const { return handlers_; }
  // In the order in which they were given.
  const std::vector<std::unique_ptr<PodRuntime>>& runtimes() const { return runtimes_; }

  // InvalidArgument, with the names that there are.
  absl::StatusOr<PodRuntime*> Find(absl::string_view name) const;
  // The runtime of a recorded pod. When there is none of the type (any more) it is one whose every
  // call fails and says what to do.
  PodRuntime& OfType(absl::string_view type);

 private:
  HandlerTable() = default;

  std::vector<std::unique_ptr<PodRuntime>> runtimes_;
  std::vector<Handler> handlers_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::unique_ptr<PodRuntime>> missing_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_HANDLER_HANDLER_TABLE_H_
