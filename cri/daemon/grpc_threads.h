#ifndef CRISP_CRI_DAEMON_GRPC_THREADS_H_
#define CRISP_CRI_DAEMON_GRPC_THREADS_H_

#include "absl/status/status.h"

namespace crisp::cri {

// Keeps threads for gRPC, so that it never lacks one.
//
// gRPC 1.51 counts a thread of its executor before it makes it, and does not look at what
// pthread_create() returns. Where no thread can be had at that moment, one that does not exist
// stays in the count. What gRPC puts on its queue then never runs: RPCs, whole connections and the
// server's shutdown hang. So crispd is linked with --wrap=pthread_create, and who asks for a thread
// with attributes (gRPC does; our own and libcurl's threads have none, and look at the result) gets
// one from a reserve where the kernel gives none. The executor makes two threads for each CPU, so
// the reserve has as many, and at most 32: beyond that gRPC waits until there are threads.
//
// Call it once, before gRPC starts. RESOURCE_EXHAUSTED where the threads cannot be made.
absl::Status KeepThreadsForGrpc();

}  // namespace crisp::cri

#endif  // CRISP_CRI_DAEMON_GRPC_THREADS_H_
