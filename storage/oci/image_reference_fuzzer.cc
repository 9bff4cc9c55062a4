#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "storage/oci/image_reference.h"

// Whatever parses must come back the same from both of its written forms.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using crisp::storage::ImageReference;
  const auto parsed =
      ImageReference::Parse(absl::string_view(reinterpret_cast<const char*>(data), size));
  if (!parsed.ok()) return 0;
  for (const std::string& form : {parsed->Canonical(), parsed->Familiar()}) {
    const auto again = ImageReference::Parse(form);
    if (!again.ok() || !(*again == *parsed)) std::abort();
  }
  return 0;
}
