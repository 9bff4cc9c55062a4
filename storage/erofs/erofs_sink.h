#ifndef CRISP_STORAGE_EROFS_EROFS_SINK_H_
#define CRISP_STORAGE_EROFS_EROFS_SINK_H_

#include <cstdint>
#include <deque>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/erofs/erofs_tree.h"
#include "storage/erofs/erofs_writer.h"
#include "storage/layer/layer_sink.h"

namespace crisp::storage {

// Writes a layer's members as an EROFS image, contents as they come and all else at the end. What
// it shows is what DirectorySink would have made, with opaque directories marked
// (LayerContent::opaque_dirs is empty) and implicit ones by their real paths. Beside the file it
// needs memory for the names; no system call but writing.
class ErofsSink : public LayerSink {
 public:
  static constexpr uint64_t kMaxMemory = 512u << 20;  // about four million files

  // `fd`: an empty file, open for writing; stays the caller's.
  explicit ErofsSink(int fd,
                     const ErofsOptions& options = {},
                     ApplyLimits limits = {},
                     uint64_t max_memory = kMaxMemory)
      : LayerSink(std::move(limits)), tree_(max_memory), writer_(fd, options) {}

  absl::Status Write(absl::string_view bytes, uint64_t offset, const LayerEntry& entry) override;
  absl::Status FinishFile(const LayerEntry& entry) override;
  absl::StatusOr<LayerContent> Finish() override;

 private:
  // As LayerSink has them. A handle is the number of a directory in the tree; nothing but memory is
  // touched.
  absl::StatusOr<int> Parent(const std::string& path) override;
  absl::StatusOr<Found> Look(int parent, const std::string& base) override;
  absl::Status MakeWhiteout(int parent, const LayerName& name) override;
  absl::Status SetOnItsOwn(int parent, const std::string& base) override;
  absl::Status DescribeRoot(const LayerEntry& entry) override;
  absl::Status Directory(int parent, const LayerName& name, const LayerEntry& entry) override;
  absl::Status Link(int parent,
                    const LayerName& name,
                    const LayerName& target,
                    const LayerEntry& entry) override;
  absl::Status Node(int parent, const LayerName& name, const LayerEntry& entry) override;
  absl::Status File(int parent, const LayerName& name, const LayerEntry& entry) override;

  struct Described {
    std::string path;
    timespec mtime;
    uint32_t uid, gid;
    uint16_t mode;
    XattrMap xattrs;
  };
  // The directory at the path. Makes what is missing of it, root's, 0755 and implicit; what is no
  // directory gives way.
  absl::StatusOr<uint32_t> MakeParents(const std::string& path);
  // InvalidArgument for a directory that symlinks made deeper than a path may be.
  absl::Status CheckDepth(uint32_t directory, absl::string_view path) const;
  // Makes the name free, and takes what goes out of the counts. True: a directory has it and stays.
  bool Clear(uint32_t parent, const LayerName& name, OldDirectory directory);
  // What Finish() gives the directory at the path, when no entry can change it any more.
  absl::Status Remember(const std::string& path, const LayerEntry& entry);
  // Those of the entry that a layer keeps. InvalidArgument for a value that the kernel would
  // refuse.
  absl::StatusOr<XattrMap> Xattrs(const LayerEntry& entry) const;
  // Adds to what the inode has. An access list that says no more than the mode becomes the mode.
  absl::Status SetXattrs(uint32_t id, const XattrMap& xattrs);
  // Of Finish(), in this order.
  absl::Status FinishDirectory(const Described& described);
  absl::Status MarkOpaque();
  absl::Status ListWhiteouts();

  ErofsTree tree_;
  ErofsWriter writer_;
  bool cached_ = false;
  std::string cached_parent_;
  uint32_t cached_id_ = 0;
  uint32_t file_ = 0;                // being written
  std::deque<Described> described_;  // directories in archive order; finished at the end
  bool root_described_ = false;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_EROFS_EROFS_SINK_H_
