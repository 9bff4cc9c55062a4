#ifndef CRISP_RUNTIME_OCI_CRISP_MOUNTS_H_
#define CRISP_RUNTIME_OCI_CRISP_MOUNTS_H_

#include <string>
#include <vector>

#include "base/lower.h"

namespace crisp::runtime {

// Mounts of a spec that only crisp's own shim understands. They never reach an external runtime.
inline constexpr char kImageMountType[] =
    "crisp-image";                                  // type; source is a key of `image_volumes`
inline constexpr char kPodShmSource[] = "pod:shm";  // source of a bind mount: the pod's /dev/shm
inline constexpr char kPodFilePrefix[] =
    "pod:";  // the same with the name of a file in PodHandle::TakeFiles()
inline constexpr char kOptionCopyUp[] =
    "crisp-copy-up";  // bind: fill from the root's same path first
inline constexpr char kOptionOptional[] =
    "crisp-optional";  // skip if the source, or a place for it, is missing

// The layers that a mount of kImageMountType shows.
struct ImageVolume {
  std::vector<Lower> lowers;  // topmost first
  std::string sub_path;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_OCI_CRISP_MOUNTS_H_
