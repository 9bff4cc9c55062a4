#ifndef CRISP_STORAGE_LAYER_DIRECTORY_SINK_H_
#define CRISP_STORAGE_LAYER_DIRECTORY_SINK_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "storage/layer/layer_sink.h"

namespace crisp::storage {

// Writes a layer's members below a directory, with the archive's owners, modes, times and extended
// attributes. Opaque directories are reported for the caller to mark.
//
// Nothing is ever touched outside of the directory: parents are resolved by openat2 with
// RESOLVE_IN_ROOT. umask must be 0.
class DirectorySink : public LayerSink {
 public:
  explicit DirectorySink(int root_fd, ApplyLimits limits = {})
      : LayerSink(std::move(limits)), root_(root_fd) {}

  absl::Status Write(absl::string_view bytes, uint64_t offset, const LayerEntry& entry) override;
  // Sets what writing would have changed: times, setuid bits, capabilities.
  absl::Status FinishFile(const LayerEntry& entry) override;
  // Directories get their modes and times.
  absl::StatusOr<LayerContent> Finish() override;

 private:
  // As LayerSink has them. A handle is an O_PATH descriptor of the directory.
  absl::StatusOr<int> Parent(const std::string& path) override;
  absl::StatusOr<Found> Look(int parent, const std::string& base) override;
  absl::Status MakeWhiteout(int parent, const LayerName& name) override;
  absl::Status SetOnItsOwn(int parent, const std::string& base) override {
    return NoteDirectory(parent, base, nullptr);
  }
  absl::Status DescribeRoot(const LayerEntry& entry) override;
  absl::Status Directory(int parent, const LayerName& name, const LayerEntry& entry) override;
  absl::Status Link(int parent,
                    const LayerName& name,
                    const LayerName& target,
                    const LayerEntry& entry) override;
  absl::Status Node(int parent, const LayerName& name, const LayerEntry& entry) override;
  absl::Status File(int parent, const LayerName& name, const LayerEntry& entry) override;

  // The directory at the path, whose missing parts are made.
  absl::StatusOr<UniqueFd> OpenParent(const std::string& path);
  // Makes what is missing of the path, root's, 0755 and implicit; what is no directory gives way.
  absl::Status MakeParents(const std::string& path);
  // InvalidArgument for a directory that symlinks made deeper than a path may be.
  absl::Status CheckDepth(int dir_fd, absl::string_view path) const;
  // The directory is an implicit one by this path, or, without one, is described.
  absl::Status NoteDirectory(int parent, const std::string& base, const std::string* implicit_path);
  absl::Status ListImplicit();
  // Link() where the first try failed; `from` is the directory of the link's target.
  absl::Status LinkOver(int parent,
                        const LayerName& name,
                        const LayerEntry& entry,
                        int from,
                        const std::string& target);
  // Makes the name free, and takes what goes out of the counts. True: a directory has it and stays.
  absl::StatusOr<bool> Clear(int parent, const LayerName& name, OldDirectory directory);
  // Takes what has the name out of the counts.
  absl::Status Forget(int parent, const std::string& base);
  // Owner, mode, attributes, times: when nothing is made in the directory any more.
  absl::Status FinishDirectory(const LayerEntry& entry);

  const int root_;
  UniqueFd cached_fd_;
  std::string cached_parent_;
  UniqueFd file_;                                     // being written
  uint64_t file_end_ = 0;                             // of what was written to it
  std::vector<LayerEntry> directories_;               // in archive order; finished at the end
  absl::flat_hash_map<ino_t, std::string> implicit_;  // directories that no entry described yet
  bool root_described_ = false;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_LAYER_DIRECTORY_SINK_H_
