#ifndef CRISP_STORAGE_LAYER_LAYER_FORM_H_
#define CRISP_STORAGE_LAYER_LAYER_FORM_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/lower.h"
#include "base/operation.h"
#include "base/unique_fd.h"
#include "storage/layer/layer_sink.h"

namespace crisp::storage {

// What a layer is unpacked into. It decides what its unpacker may do (see ConfineUnpacker), and who
// marks opaque directories: the daemon in a directory, the sink in a file.
enum class LayerTarget : uint8_t { kDirectory, kFile };

// What a form wants to know a layer by that the counts do not say. Of a layer that is one file.
struct LayerSeal {
  uint64_t size = 0;   // of the file
  std::string digest;  // of what the form takes for its metadata
  bool operator==(const LayerSeal&) const = default;
};

// What is remembered of a layer; by it a whole one is told from a damaged one.
struct LayerFacts {
  uint64_t inodes = 0;  // these three as LayerContent counts
  uint64_t bytes = 0;
  uint64_t disk_bytes = 0;
  LayerSeal seal;  // empty in forms that need none
};

// What a layer occupies, its folder included.
struct LayerUsage {
  uint64_t bytes = 0;
  uint64_t inodes = 0;
};

// A form that layers are kept in: directories, an EROFS file. The store knows forms only by this
// interface, and all of them by the table in storage/forms. What an archive's entries mean is not a
// form's to decide: see LayerSink.
//
// A layer has a folder of its own in the store. What the form keeps there goes by one name, the
// mark, which also tells a layer's form from then on. A layer's life:
//
//   target = form.MakeTarget(folder)             the daemon, in a new and empty folder
//   sink = form.MakeSink(target), Add(), …       the unpacker, confined as target() says
//   seal = form.Seal(folder, target)             the daemon; nothing looked at the target before
//   SyncSet(folder) on the disk, then the catalog
//   root = form.Open(folder)                     its first user; kept until the layer goes
//   LooksWhole(), IsIntact()                     when there is doubt
//   the folder is removed                        everything that the layer has is below it
//
// For example, a layer outside of any store:
//
//   const LayerForm& form = *FindLayerForm("erofs");
//   ASSIGN_OR_RETURN(UniqueFd target, form.MakeTarget("/tmp/layer"));
//   std::unique_ptr<LayerSink> sink = form.MakeSink(target.get(), {});
//   RETURN_IF_ERROR(ApplyTar(tar, *sink));
//   ASSIGN_OR_RETURN(LayerContent content, sink->Finish());
//   ASSIGN_OR_RETURN(LayerSeal seal, form.Seal("/tmp/layer", target.get()));
//   ASSIGN_OR_RETURN(LayerForm::Root root, form.Open("/tmp/layer"));   // to PathOf(root.lower)
//
// There is one object for each form, for good. It has no state and is thread-safe. Folders are
// paths that nobody but the daemon writes to.
class LayerForm {
 public:
  virtual ~LayerForm() = default;
  LayerForm(const LayerForm&) = delete;
  LayerForm& operator=(const LayerForm&) = delete;

  // As the configuration and the unpacker's requests say it. At most kMaxName bytes.
  virtual const char* name() const = 0;
  static constexpr size_t kMaxName = 15;
  // What is in a layer's folder. It is on the disks of nodes: it never changes.
  virtual const char* mark() const = 0;
  std::string MarkIn(const std::string& folder) const { return folder + "/" + mark(); }
  virtual LayerTarget target() const = 0;

  // OK when this kernel can use layers that are below `directory`; else what it said. Leaves
  // nothing there.
  virtual absl::Status Probe(const std::string& directory) const = 0;
  // The most layers of this form that an image may have. One of more becomes directories.
  virtual size_t most_layers() const { return std::numeric_limits<size_t>::max(); }

  // Makes what a layer is unpacked into: a directory, or a file that is open for reading and
  // writing. AlreadyExists when the folder has one. On failure the folder is rubbish.
  virtual absl::StatusOr<UniqueFd> MakeTarget(const std::string& folder) const = 0;
  // The sink that writes this form to an empty target, which stays the caller's. Called in the
  // unpacker when it has given up its privileges.
  virtual std::unique_ptr<LayerSink> MakeSink(int target, ApplyLimits limits) const = 0;
  // Of a target that is complete. DataLoss when it holds what this form's sink does not write: the
  // unpacker may have been taken over, and the kernel is to get nothing from it that was not
  // looked at.
  virtual absl::StatusOr<LayerSeal> Seal(const std::string& folder, int target) const = 0;
  // The files that are the layer, to be synced by themselves, from their making on. Empty: they are
  // too many, and the whole file system is synced.
  virtual std::vector<std::string> SyncSet(const std::string& folder) const = 0;

  // The layer's root as an overlay takes it.
  struct Root {
    Lower lower;
    UniqueFd mount;  // lower.mount_fd; invalid where that is a directory
  };
  // A directory is not looked at, for every new container asks.
  virtual absl::StatusOr<Root> Open(const std::string& folder) const = 0;

  // Cheap: false for a layer that was emptied or cut off, and perhaps for other damage. True where
  // it cannot be told (no descriptor is left).
  virtual bool LooksWhole(const std::string& folder, const LayerFacts& facts) const = 0;
  // Reads as much as there is to read of a layer without its files' contents. False when it is not
  // what `facts` say. `operation`'s error within some thousand files.
  virtual absl::StatusOr<bool> IsIntact(const std::string& folder,
                                        const LayerFacts& facts,
                                        const Operation& operation) const = 0;
  virtual LayerUsage Usage(const LayerFacts& facts) const = 0;

 protected:
  LayerForm() = default;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_LAYER_LAYER_FORM_H_
