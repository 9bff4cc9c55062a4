#ifndef CRISP_CRI_SPEC_CHECK_MESSAGE_H_
#define CRISP_CRI_SPEC_CHECK_MESSAGE_H_

#include <string>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace crisp::cri {

// Checks what no field of a request may hold, whatever the field means. The first is a NUL in a
// string, because the kernel would read it as the end. The second is an enum's value that this CRI
// does not know, because it asks for something that crisp cannot keep. InvalidArgument naming the
// field, whose path begins with `where`. Maps are not checked: labels and annotations may hold
// anything, and sysctls and limits have rules of their own.
absl::Status CheckMessage(const google::protobuf::Message& message, const std::string& where);

}  // namespace crisp::cri

#endif  // CRISP_CRI_SPEC_CHECK_MESSAGE_H_
