#ifndef CRISP_RUNTIME_SHIM_CONNECTION_H_
#define CRISP_RUNTIME_SHIM_CONNECTION_H_

#include <stdint.h>

#include "runtime/wire/wire.h"

namespace crisp::shim {

using runtime::MessageHeader;
class Birth;
struct Message;

// What the shim says to the daemon: the one connection, answers to requests and news of exits.
// Nothing here waits for a daemon that does not read for more than a second: it is dropped.

bool Connected();
// Takes the socket; the newest wins. `dispatch` executes what comes over it.
void UseConnection(int socket, void (*dispatch)(Message* message));
// Closes it and kills the execs that came over it; containers go on.
void DropConnection();

// The answer to a request without a result; not `good`: g_error.
void ReplyPlain(uint64_t request_id, bool good);
// With no more in it than a daemon reads that speaks what `request` says.
void ReplyHello(const MessageHeader& request);
// From a spare, which has no connection yet, over its control socket. False: nobody is there.
bool AnnounceSpare(int control);
// Put off while a start is under way that a former daemon has asked for: AnswerReport() answers
// then.
void ReplyReport(uint64_t request_id);
void AnswerReport();
// Answers the request that began a start which is settled.
void AnswerStart(const Birth& birth);
// Sends g_error as the answer to a request, on any socket.
void SendError(int socket, uint64_t request_id);

// Tells the daemon, if one is there, of exits that it does not know yet.
void AnnounceExits();

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_CONNECTION_H_
