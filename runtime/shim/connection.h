#ifndef CRISP_RUNTIME_SHIM_CONNECTION_H_
#define CRISP_RUNTIME_SHIM_CONNECTION_H_

#include <stdint.h>

#include "runtime/wire/wire.h"

namespace crisp::shim {

using runtime::MessageHeader;
class Birth;
struct Message;

// The shim's words to the daemon: the one connection, answers to requests and news of exits. A
// daemon that does not read for more than a second is dropped.

bool Connected();
// Takes the socket; the newest wins. `dispatch` executes the requests that come over it.
void UseConnection(int socket, void (*dispatch)(Message* message));
// Closes it and kills the execs that came over it. Containers go on.
void DropConnection();

// Answers a request without a result. If it is not `good`, with g_error.
void ReplyPlain(uint64_t request_id, bool good);
// Answers kHello, with no more than a daemon reads that speaks the version of `request`.
void ReplyHello(const MessageHeader& request);
// Tells that a spare is ready, over its control socket, because it has no connection yet. False if
// nobody is there.
bool AnnounceSpare(int control);
// Answers kReport. While a start is under way for which a former daemon has asked, AnswerReport()
// answers later.
void ReplyReport(uint64_t request_id);
void AnswerReport();
// Answers the request that began a start that is settled.
void AnswerStart(const Birth& birth);
// Sends g_error as the answer to a request, on any socket.
void SendError(int socket, uint64_t request_id);

// Tells the daemon, if one is there, of exits that it does not know yet.
void AnnounceExits();

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_CONNECTION_H_
