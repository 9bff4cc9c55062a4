#ifndef CRISP_STORAGE_FORMS_LAYER_FORMS_H_
#define CRISP_STORAGE_FORMS_LAYER_FORMS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/layer/layer_form.h"

namespace crisp::storage {

// Every form, in the order of kLayerFormats: the first is directories. The daemon and its unpacker
// have the same.
absl::Span<const LayerForm* const> LayerForms();

// The form that every node has, and that layers have which the daemon makes itself.
const LayerForm& Directories();

// Null: there is none of the name.
const LayerForm* FindLayerForm(absl::string_view name);

// The form of the layer in this folder, by its mark. NotFound: there is no layer, or one of a form
// that this program does not know. Another error: the kernel cannot say; the layer may be there.
absl::StatusOr<const LayerForm*> LayerFormIn(const std::string& folder);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_FORMS_LAYER_FORMS_H_
