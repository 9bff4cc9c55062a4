#ifndef CRISP_STORAGE_FORMS_TESTING_KEPT_LAYER_H_
#define CRISP_STORAGE_FORMS_TESTING_KEPT_LAYER_H_

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "base/file.h"
#include "base/safe_path.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "storage/layer/layer_form.h"
#include "storage/layer/layer_tar.h"
#include "storage/layer/testing/byte_source.h"

namespace crisp::storage {

// Test-only: a layer that was made of an archive, as the store does it, but in this process.
struct KeptLayer {
  LayerContent content;
  LayerFacts facts;
  LayerForm::Root root;
};

// In a directory the daemon marks what is opaque (see LayerUnpack).
inline absl::Status MarkOpaqueDirs(int root, const LayerContent& content) {
  for (const std::string& opaque : content.opaque_dirs) {
    const UniqueFd dir(OpenInRoot(root, opaque.empty() ? "." : opaque, O_RDONLY | O_DIRECTORY)
                           .value_or(UniqueFd()));
    if (dir && fsetxattr(dir.get(), "trusted.overlay.opaque", "y", 1, 0) != 0) {
      return ErrnoError(errno, "mark a directory opaque");
    }
  }
  return absl::OkStatus();
}

inline absl::StatusOr<LayerContent> Unpack(const LayerForm& form,
                                           int target,
                                           absl::string_view tar,
                                           ApplyLimits limits = {}) {
  const mode_t mask = umask(0);
  const std::unique_ptr<LayerSink> sink = form.MakeSink(target, std::move(limits));
  const absl::Status applied = ApplyTar(FromBytes(tar), *sink);
  absl::StatusOr<LayerContent> content =
      applied.ok() ? sink->Finish() : absl::StatusOr<LayerContent>(applied);
  (void)umask(mask);
  if (content.ok() && form.target() == LayerTarget::kDirectory) {
    CRISP_RETURN_IF_ERROR(MarkOpaqueDirs(target, *content));
  }
  return content;
}

// `folder` is made anew.
inline absl::StatusOr<KeptLayer> Keep(const LayerForm& form,
                                      const std::string& folder,
                                      absl::string_view tar,
                                      ApplyLimits limits = {}) {
  CRISP_RETURN_IF_ERROR(RemoveTree(folder));
  CRISP_RETURN_IF_ERROR(MakeDirs(folder));
  CRISP_ASSIGN_OR_RETURN(const UniqueFd target, form.MakeTarget(folder));
  KeptLayer layer;
  CRISP_ASSIGN_OR_RETURN(layer.content, Unpack(form, target.get(), tar, std::move(limits)));
  CRISP_ASSIGN_OR_RETURN(const LayerSeal seal, form.Seal(folder, target.get()));
  layer.facts = {.inodes = layer.content.inodes,
                 .bytes = layer.content.bytes,
                 .disk_bytes = layer.content.disk_bytes,
                 .seal = seal};
  CRISP_ASSIGN_OR_RETURN(layer.root, form.Open(folder));
  return layer;
}

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_FORMS_TESTING_KEPT_LAYER_H_
