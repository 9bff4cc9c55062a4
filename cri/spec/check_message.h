#ifndef CRISP_CRI_SPEC_CHECK_MESSAGE_H_
#define CRISP_CRI_SPEC_CHECK_MESSAGE_H_

#include <string>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace crisp::cri {

// What no field of a request may hold, whatever it means: a NUL in a string (the kernel would read
// it as the end) and an enum's value that this CRI does not know (it asks for what we cannot keep).
// InvalidArgument naming the field, whose path begins with `where`. Maps are not looked into:
// labels and annotations are anybody's, and sysctls and limits have rules of their own.
absl::Status CheckMessage(const google::protobuf::Message& message, const std::string& where);

}  // namespace crisp::cri

#endif  // CRISP_CRI_SPEC_CHECK_MESSAGE_H_
