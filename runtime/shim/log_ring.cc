#include "runtime/shim/log_ring.h"

#include <string.h>
#include <sys/mman.h>

namespace crisp::shim {
namespace {

constexpr uint32_t kHeader = sizeof(LogRecord);
static_assert(kHeader % 8 == 0);

uint32_t Whole(uint32_t payload) { return kHeader + ((payload + 7) & ~7u); }

uint64_t Load(const uint64_t& value) { return __atomic_load_n(&value, __ATOMIC_SEQ_CST); }
void Store(uint64_t& value, uint64_t to) { __atomic_store_n(&value, to, __ATOMIC_SEQ_CST); }

}  // namespace

bool LogRing::Map() {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  shared_ = static_cast<Shared*>(memory);
  return true;
}

void LogRing::Share(bool with_children) {
  (void)madvise(shared_, sizeof(Shared), with_children ? MADV_DOFORK : MADV_DONTFORK);
}

char* LogRing::Reserve(uint32_t least, uint32_t most, bool command, uint32_t* size) {
  const uint64_t head = shared_->head, tail = Load(shared_->tail);
  // The taker looks at nothing while it is empty, and learns of this with the next record.
  if (head == tail) shared_->base = head;
  const uint32_t spare = command ? 0 : kForCommands;
  const uint32_t used = static_cast<uint32_t>(head - tail);
  if (used + spare >= kSize) return nullptr;
  uint32_t room = kSize - used - spare;
  const uint32_t offset = static_cast<uint32_t>(head - shared_->base) & (kSize - 1);
  const uint32_t to_end = kSize - offset;
  reserved_ = head;
  uint32_t here = to_end < room ? to_end : room;
  if (here < Whole(least)) {
    // The rest before the end is passed over.
    if (room <= to_end || room - to_end < Whole(least)) return nullptr;
    reserved_ = head + to_end;
    here = room - to_end;
  }
  *size = here - kHeader < most ? here - kHeader : most;
  const uint32_t at = static_cast<uint32_t>(reserved_ - shared_->base) & (kSize - 1);
  return shared_->data + at + kHeader;
}

void LogRing::Publish(const LogRecord& record) {
  const uint64_t head = shared_->head;
  const uint32_t skipped = static_cast<uint32_t>(reserved_ - head);
  if (skipped >= kHeader) {
    const LogRecord pad = {.size = skipped - kHeader,
                           .command = LogCommand::kPad,
                           .is_stderr = 0,
                           .log = 0,
                           .ticket = 0,
                           .value = 0};
    memcpy(shared_->data + ((head - shared_->base) & (kSize - 1)), &pad, sizeof(pad));
  }
  const uint32_t at = static_cast<uint32_t>(reserved_ - shared_->base) & (kSize - 1);
  memcpy(shared_->data + at, &record, sizeof(record));
  const uint32_t end = at + Whole(record.size);
  if (end > touched_) touched_ = end;
  Store(shared_->head, reserved_ + Whole(record.size));
}

bool LogRing::empty() const { return shared_->head == Load(shared_->tail); }
uint64_t LogRing::taken() const { return Load(shared_->tail); }
uint32_t LogRing::pending() const {
  return static_cast<uint32_t>(Load(shared_->head) - Load(shared_->tail));
}

void LogRing::Trim() {
  if (!large() || !empty()) return;
  constexpr size_t kPage = 4096;
  char* const from = shared_->data + kKeep;
  char* const aligned = from + (kPage - reinterpret_cast<uintptr_t>(from) % kPage) % kPage;
  (void)madvise(aligned, static_cast<size_t>(shared_->data + kSize - aligned) & ~(kPage - 1),
                MADV_REMOVE);
  touched_ = 0;
}

const LogRecord* LogRing::Front() {
  while (true) {
    const uint64_t tail = shared_->tail;
    if (Load(shared_->head) == tail) return nullptr;
    const uint32_t at = static_cast<uint32_t>(tail - shared_->base) & (kSize - 1);
    if (kSize - at < kHeader) {
      Store(shared_->tail, tail + (kSize - at));
      continue;
    }
    const LogRecord* record = reinterpret_cast<const LogRecord*>(shared_->data + at);
    if (record->command != LogCommand::kPad) return record;
    Store(shared_->tail, tail + kHeader + record->size);
  }
}

const char* LogRing::payload() const {
  return shared_->data + (static_cast<uint32_t>(shared_->tail - shared_->base) & (kSize - 1)) +
         kHeader;
}

void LogRing::Pop() {
  const uint64_t tail = shared_->tail;
  const uint32_t at = static_cast<uint32_t>(tail - shared_->base) & (kSize - 1);
  const LogRecord* record = reinterpret_cast<const LogRecord*>(shared_->data + at);
  Store(shared_->tail, tail + Whole(record->size));
}

void LogRing::TakerSleeps() { __atomic_store_n(&shared_->taker_sleeps, 1, __ATOMIC_SEQ_CST); }
bool LogRing::TakeTakersWish() {
  return __atomic_exchange_n(&shared_->taker_sleeps, 0, __ATOMIC_SEQ_CST) != 0;
}
void LogRing::PutterWaits() { __atomic_store_n(&shared_->putter_waits, 1, __ATOMIC_SEQ_CST); }
bool LogRing::TakePuttersWish() {
  return __atomic_exchange_n(&shared_->putter_waits, 0, __ATOMIC_SEQ_CST) != 0;
}

}  // namespace crisp::shim
