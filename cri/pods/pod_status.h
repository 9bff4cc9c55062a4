#ifndef CRISP_CRI_PODS_POD_STATUS_H_
#define CRISP_CRI_PODS_POD_STATUS_H_

#include <memory>
#include <vector>

#include "cri/state/pod.h"
#include "storage/image/image_store.h"

namespace crisp::cri {

// Pods and containers as clients see them.

v1::PodSandboxState CriState(const state::PodRecord& record);
v1::ContainerState CriState(const state::ContainerRecord& record);

void FillStatus(const Pod& pod, v1::PodSandboxStatus* status);
void FillStatus(const Container& container,
                const storage::ImageStore& images,
                v1::ContainerStatus* status);
// The newest first: of several attempts the kubelet takes the first.
void FillStatuses(const std::vector<std::shared_ptr<Container>>& containers,
                  const storage::ImageStore& images,
                  google::protobuf::RepeatedPtrField<v1::ContainerStatus>* statuses);

// Its item of a list, serialized. Made once for each version of the record.
std::shared_ptr<const std::string> Listed(const Pod& pod,
                                          const std::shared_ptr<const state::PodRecord>& record);
std::shared_ptr<const std::string> Listed(
    const Container& container,
    const std::shared_ptr<const state::ContainerRecord>& record,
    const storage::ImageStore& images);

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_POD_STATUS_H_
