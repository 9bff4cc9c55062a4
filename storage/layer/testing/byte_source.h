#ifndef CRISP_STORAGE_LAYER_TESTING_BYTE_SOURCE_H_
#define CRISP_STORAGE_LAYER_TESTING_BYTE_SOURCE_H_

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/layer/decompressor.h"

namespace crisp::storage {

// Test-only: a source of these bytes, which outlive it, so many at a time.
inline ByteSource FromBytes(absl::string_view bytes, size_t step = absl::string_view::npos) {
  return [bytes, step](char* buffer, size_t room) mutable -> absl::StatusOr<size_t> {
    const size_t n = std::min({room, step, bytes.size()});
    memcpy(buffer, bytes.data(), n);
    bytes.remove_prefix(n);
    return n;
  };
}

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_LAYER_TESTING_BYTE_SOURCE_H_
