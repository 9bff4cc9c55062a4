#ifndef CRISP_RUNTIME_SHIM_CONNECTION_H_
#define CRISP_RUNTIME_SHIM_CONNECTION_H_

#include <stdint.h>

namespace crisp::shim {

// What the shim says to the daemon: the one connection, answers to requests and news of exits.
// Nothing here waits for a daemon that does not read for more than a second: it is dropped.

bool Connected();
// Takes the socket; the newest wins. While a start is under way it is not read from.
void UseConnection(int socket);
// Closes it and kills the execs that came over it; containers go on.
void DropConnection();
// Answers the start under way as `request_id` with AnswerStart(), and reads no request until then.
void AwaitStart(uint64_t request_id);

// The answer to a request without a result; not `good`: g_error.
void ReplyPlain(uint64_t request_id, bool good);
void ReplyHello(uint64_t request_id);
// From a spare, which has no connection yet, over its control socket. False: nobody is there.
bool AnnounceSpare(int control);
void ReplyReport(uint64_t request_id);
// Answers the request that began the start which g_start has settled.
void AnswerStart();
// Sends g_error as the answer to a request, on any socket.
void SendError(int socket, uint64_t request_id);

// Tells the daemon, if one is there, of exits that it does not know yet.
void AnnounceExits();

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_CONNECTION_H_
