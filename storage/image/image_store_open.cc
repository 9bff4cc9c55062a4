// Apart from the rest, so that tests with a registry of their own do without the real one.
#include "base/status.h"
#include "storage/image/image_store_impl.h"

namespace crisp::storage {

absl::StatusOr<std::unique_ptr<ImageStore>> ImageStore::Open(ImageStoreOptions options) {
  CRISP_ASSIGN_OR_RETURN(std::unique_ptr<Registry> registry,
                         Registry::Create({.config_dirs = options.registry_config_dirs,
                                           .stall_timeout = options.stall_timeout}));
  return ImageStoreImpl::Open(std::move(options), std::move(registry));
}

}  // namespace crisp::storage
