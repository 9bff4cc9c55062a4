#ifndef CRISP_CLI_CLIENT_LABELS_H_
#define CRISP_CLI_CLIENT_LABELS_H_

namespace crisp::cli {

// The label of a pod that `crisp run` made. Its container goes by the pod's name, and the pod goes
// with the container. The value is "true".
inline constexpr char kRunLabel[] = "io.crisp.run";

}  // namespace crisp::cli

#endif  // CRISP_CLI_CLIENT_LABELS_H_
