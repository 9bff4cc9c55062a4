#include "storage/forms/layer_forms.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "storage/erofs/erofs_form.h"
#include "storage/layer/directory_form.h"

namespace crisp::storage {
namespace {

// The table: a form more is a line more.
template <class... Forms>
absl::Span<const LayerForm* const> Table() {
  static const LayerForm* const forms[] = {new Forms...};
  return forms;
}

}  // namespace

absl::Span<const LayerForm* const> LayerForms() { return Table<DirectoryForm, ErofsForm>(); }

const LayerForm& Directories() { return *LayerForms().front(); }

const LayerForm* FindLayerForm(absl::string_view name) {
  for (const LayerForm* form : LayerForms()) {
    if (name == form->name()) return form;
  }
  return nullptr;
}

absl::StatusOr<const LayerForm*> LayerFormIn(const std::string& folder) {
  for (const LayerForm* form : LayerForms()) {
    const std::string mark = form->MarkIn(folder);
    if (faccessat(AT_FDCWD, mark.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) return form;
    if (errno != ENOENT && errno != ENOTDIR) {
      return ErrnoError(errno, absl::StrCat("look for a layer at ", mark));
    }
  }
  return absl::NotFoundError(absl::StrCat("no layer in ", folder));
}

}  // namespace crisp::storage
