#ifndef CRISP_STORAGE_STORE_OVERLAY_CHANGES_H_
#define CRISP_STORAGE_STORE_OVERLAY_CHANGES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/lower.h"
#include "base/operation.h"
#include "storage/values/changes.h"

namespace crisp::storage {

// Compares an overlay's upper directory with what it lies on, `lowers`, the topmost first, of any
// form: whiteouts are deletions, and of a directory that hides the one below (opaque) what it lacks
// is deleted. The container may write meanwhile; what goes away is passed over. No link is
// followed, and no file is opened but directories. `operation`'s error within a directory.
absl::StatusOr<Changes> ListChanges(const std::string& upper,
                                    const std::vector<Lower>& lowers,
                                    const ChangeLimits& limits,
                                    const Operation& operation);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_STORE_OVERLAY_CHANGES_H_
