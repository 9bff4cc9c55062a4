#include "runtime/handler/handler_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/handler/missing_runtime.h"

namespace crisp::runtime {
namespace {

PodRuntime* Among(const std::vector<std::unique_ptr<PodRuntime>>& runtimes,
                  absl::string_view type) {
  const auto found = std::find_if(runtimes.begin(), runtimes.end(),
                                  [&](const auto& one) { return one->type() == type; });
  return found == runtimes.end() ? nullptr : found->get();
}

}  // namespace

absl::StatusOr<std::unique_ptr<HandlerTable>> HandlerTable::Create(
    const std::vector<HandlerOptions>& handlers,
    std::vector<std::unique_ptr<PodRuntime>> runtimes) {
  if (runtimes.empty()) return absl::InvalidArgumentError("runtime handlers: there is no runtime");
  std::unique_ptr<HandlerTable> table(new HandlerTable);
  table->runtimes_ = std::move(runtimes);
  table->handlers_.push_back({.name = "", .runtime = table->runtimes_.front().get()});
  for (const HandlerOptions& handler : handlers) {
    const auto refuse = [&](absl::string_view why) {
      return absl::InvalidArgumentError(
          absl::StrCat("runtime handler \"", handler.name, "\": ", why));
    };
    // The one without a name is there already.
    if (table->Find(handler.name).ok()) return refuse("the name is given twice or empty");
    PodRuntime* const runtime = Among(table->runtimes_, handler.type);
    if (runtime == nullptr)
      return refuse(absl::StrCat("there is no runtime of type \"", handler.type, "\""));
    table->handlers_.push_back({.name = handler.name, .runtime = runtime});
  }
  return table;
}

absl::StatusOr<PodRuntime*> HandlerTable::Find(absl::string_view name) const {
  for (const Handler& handler : handlers_) {
    if (handler.name == name) return handler.runtime;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("runtime_handler: \"", name, "\" is not configured; there are ",
                   absl::StrJoin(handlers_, ", ", [](std::string* out, const Handler& handler) {
                     absl::StrAppend(out, "\"", handler.name, "\"");
                   })));
}

PodRuntime& HandlerTable::OfType(absl::string_view type) {
  if (type.empty()) return *runtimes_.front();
  if (PodRuntime* const runtime = Among(runtimes_, type); runtime != nullptr) return *runtime;
  absl::MutexLock lock(&mutex_);
  std::unique_ptr<PodRuntime>& missing = missing_[type];
  if (missing == nullptr) missing = std::make_unique<MissingRuntime>(std::string(type));
  return *missing;
}

}  // namespace crisp::runtime
