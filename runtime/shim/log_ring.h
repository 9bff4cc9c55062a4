#ifndef CRISP_RUNTIME_SHIM_LOG_RING_H_
#define CRISP_RUNTIME_SHIM_LOG_RING_H_

#include <stdint.h>

namespace crisp::shim {

// The shim's commands to its log writer.
enum class LogCommand : uint16_t {
  kPad,      // nothing: fills the rest of the ring's end
  kData,     // output; `value` is when it was read
  kEnd,      // a stream has ended: an unfinished line is complete as it is
  kDropped,  // `value` bytes were not kept
  kOpen,     // payload: u32 the longest line, then the path; answered
  kSync,     // answered once everything before it is done
  kClose,
};

struct LogRecord {
  uint32_t size;  // of the payload behind it
  LogCommand command;
  uint16_t is_stderr;
  uint32_t log;
  uint32_t ticket;  // the answer names it
  uint64_t value;
};

// Records on their way from one process to another, in memory that both share. One side puts, one
// side takes; neither ever waits here. The pages of an emptied ring are used again from the first,
// so that a container that says little keeps few of them.
class LogRing {
 public:
  static constexpr uint32_t kSize = 1u << 20;
  // The room that output leaves for commands.
  static constexpr uint32_t kForCommands = 64u << 10;
  static constexpr uint32_t kMostPayload = 64u << 10;

  // Called before the other process is made. False with errno.
  bool Map();
  // Says if children have the ring.
  void Share(bool with_children);
  bool mapped() const { return shared_ != nullptr; }

  // The putting side. Returns room for a payload of `least` to `most` (at most kMostPayload) bytes,
  // whose size is written to *size; nullptr if there is none now. A second call forgets the first.
  char* Reserve(uint32_t least, uint32_t most, bool command, uint32_t* size);
  // Puts the record, whose payload is where Reserve() said.
  void Publish(const LogRecord& record);
  bool empty() const;
  uint64_t taken() const;  // grows with what the other side has done
  uint32_t pending() const;
  // Gives the memory of an empty ring back, except its first pages.
  void Trim();
  bool large() const { return touched_ > kKeep; }

  // The taking side. nullptr if the ring is empty. The record stays until Pop().
  const LogRecord* Front();
  const char* payload() const;
  void Pop();

  // Both sides ask to be woken. Sleeps() is called before the last look at an empty (full) ring;
  // Woken() takes the wish.
  void TakerSleeps();
  bool TakeTakersWish();
  void PutterWaits();
  bool TakePuttersWish();

 private:
  static constexpr uint32_t kKeep = 64u << 10;
  struct Shared {
    uint64_t head, tail;  // bytes put and taken since the beginning
    uint64_t base;  // the position that lies at the ring's first byte; moves while it is empty
    uint32_t taker_sleeps, putter_waits;
    alignas(64) char data[kSize];
  };
  Shared* shared_ = nullptr;
  uint64_t reserved_ = 0;  // the position that Reserve() has found
  uint32_t touched_ = 0;
};

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_LOG_RING_H_
