#ifndef CRISP_STORAGE_FORMS_TESTING_EVERY_FORM_H_
#define CRISP_STORAGE_FORMS_TESTING_EVERY_FORM_H_

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "storage/forms/layer_forms.h"

// Test-only: what every form of layers is tested with. A test of the forms is TEST_P on one of
// them:
//   INSTANTIATE_TEST_SUITE_P(Forms, MyTest, EveryForm(), NameOfForm);

namespace crisp::storage {

inline auto EveryForm() { return ::testing::ValuesIn(LayerForms().begin(), LayerForms().end()); }
inline std::string NameOfForm(const ::testing::TestParamInfo<const LayerForm*>& form) {
  return form.param->name();
}

// What a broken disk leaves of a layer: a byte of it is gone.
inline absl::Status DamageLayer(const LayerForm& form, const std::string& folder) {
  std::string victim;
  const std::string mark = form.MarkIn(folder);
  if (std::filesystem::is_regular_file(mark)) victim = mark;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!victim.empty()) break;
    if (entry.path().string().rfind(mark + "/", 0) == 0 && entry.is_regular_file() &&
        !entry.is_symlink() && entry.file_size() > 0) {
      victim = entry.path();
    }
  }
  if (victim.empty()) return absl::NotFoundError(absl::StrCat(folder, ": nothing to damage"));
  struct stat st {};
  if (stat(victim.c_str(), &st) != 0 || truncate(victim.c_str(), st.st_size - 1) != 0) {
    return ErrnoError(errno, victim);
  }
  return absl::OkStatus();
}

// What somebody leaves who cleans up where it is not theirs: the layer is there, and nothing in it.
inline absl::Status EmptyLayer(const LayerForm& form, const std::string& folder) {
  const std::string mark = form.MarkIn(folder);
  if (std::filesystem::is_regular_file(mark)) {
    return truncate(mark.c_str(), 0) == 0 ? absl::OkStatus() : ErrnoError(errno, mark);
  }
  CRISP_RETURN_IF_ERROR(RemoveTree(mark));
  return MakeDirs(mark);
}

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_FORMS_TESTING_EVERY_FORM_H_
