#ifndef CRISP_CRI_PODS_MESSAGE_JSON_H_
#define CRISP_CRI_PODS_MESSAGE_JSON_H_

#include "base/json.h"
#include "google/protobuf/message.h"

namespace crisp::cri {

// A message as Go programs print theirs, which clients of `crictl inspect` know: fields by their
// own names, enums and 64-bit integers as numbers, members at their defaults left out. (protobuf's
// own JSON has other names, and strings for 64-bit integers.)
Json MessageToJson(const google::protobuf::Message& message);

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_MESSAGE_JSON_H_
