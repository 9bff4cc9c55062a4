#ifndef CRISP_CRI_STATE_LEVEL_LEASE_H_
#define CRISP_CRI_STATE_LEVEL_LEASE_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "runtime/lsm/mcs_pool.h"

namespace crisp::cri {

// A SELinux level that a pod or a container holds. Nobody else gets it until the lease has ended.
// An empty lease holds nothing.
class LevelLease {
 public:
  LevelLease() = default;
  // Takes a level that nobody has. ResourceExhausted if there is none.
  static absl::StatusOr<LevelLease> Allocate(std::shared_ptr<runtime::McsPool> pool) {
    CRISP_ASSIGN_OR_RETURN(std::string level, pool->Allocate());
    return LevelLease(std::move(pool), std::move(level));
  }
  // Takes a level that others may hold, too.
  static LevelLease Share(std::shared_ptr<runtime::McsPool> pool, absl::string_view level) {
    pool->Reserve(level);
    return LevelLease(std::move(pool), std::string(level));
  }
  ~LevelLease() { End(); }
  LevelLease(LevelLease&& other) noexcept
      : pool_(std::move(other.pool_)), level_(std::exchange(other.level_, std::string())) {}
  LevelLease& operator=(LevelLease&& other) noexcept {
    if (this == &other) return *this;
    End();
    pool_ = std::move(other.pool_);
    level_ = std::exchange(other.level_, std::string());
    return *this;
  }

  const std::string& level() const { return level_; }
  void End() {
    if (pool_ != nullptr) pool_->Release(level_);
    pool_ = nullptr;
    level_.clear();
  }

 private:
  LevelLease(std::shared_ptr<runtime::McsPool> pool, std::string level)
      : pool_(std::move(pool)), level_(std::move(level)) {}

  std::shared_ptr<runtime::McsPool> pool_;
  std::string level_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_LEVEL_LEASE_H_
