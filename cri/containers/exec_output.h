#ifndef CRISP_CRI_CONTAINERS_EXEC_OUTPUT_H_
#define CRISP_CRI_CONTAINERS_EXEC_OUTPUT_H_

#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "cri/api/api.pb.h"

namespace crisp::cri {

namespace v1 = ::runtime::v1;

// Adds to the reply what can be read from a command's two outputs without waiting, and closes each
// at its end. After an error there was more that cannot be read, so the reply is not the command's
// output.
absl::Status DrainExecOutput(UniqueFd& out, UniqueFd& err, v1::ExecSyncResponse& reply);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_EXEC_OUTPUT_H_
