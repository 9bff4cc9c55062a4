#include "base/thread_reserve.h"

#include <errno.h>

#include <atomic>

#include "absl/synchronization/notification.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"

namespace crisp {
namespace {

std::atomic<int> left = 0;     // threads that can be made
std::atomic<int> refused = 0;  // and that could not

int Make(pthread_t* thread,
         const pthread_attr_t* attributes,
         void* (*body)(void*),
         void* argument) {
  if (left.fetch_sub(1) <= 0) {
    ++left;
    ++refused;
    return EAGAIN;
  }
  return pthread_create(thread, attributes, body, argument);
}

int Refuse(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*) { return EPERM; }

void* Notify(void* notification) {
  static_cast<absl::Notification*>(notification)->Notify();
  return notification;
}

// Never destroyed, as its header says.
ThreadReserve& NewReserve(ThreadReserve::Maker maker, int size) {
  static std::atomic<ThreadReserve*> last;
  last = new ThreadReserve(maker, size);
  return *last;
}

TEST(ThreadReserveTest, GivesWhatTheKernelDoesNot) {
  left = 2;
  ThreadReserve& reserve = NewReserve(Make, 2);
  ASSERT_OK(reserve.Fill());
  ASSERT_EQ(reserve.waiting(), 2);
  absl::Notification done;
  pthread_t thread{};
  ASSERT_EQ(reserve.Create(&thread, nullptr, Notify, &done), 0);
  void* result = nullptr;
  ASSERT_EQ(pthread_join(thread, &result), 0);
  EXPECT_EQ(result, &done);
  EXPECT_TRUE(done.HasBeenNotified());
  EXPECT_EQ(reserve.waiting(), 1);
}

TEST(ThreadReserveTest, IsFilledAgainOnceThereAreThreads) {
  left = 1;
  ThreadReserve& reserve = NewReserve(Make, 1);
  ASSERT_OK(reserve.Fill());
  absl::Notification first, second;
  pthread_t thread{};
  ASSERT_EQ(reserve.Create(&thread, nullptr, Notify, &first), 0);
  pthread_join(thread, nullptr);
  EXPECT_EQ(reserve.waiting(), 0);
  left = 2;
  ASSERT_EQ(reserve.Create(&thread, nullptr, Notify, &second), 0);
  pthread_join(thread, nullptr);
  EXPECT_EQ(reserve.waiting(), 1);
}

TEST(ThreadReserveTest, AnEmptyOneWaitsForAThread) {
  left = 1;  // the one that comes to help
  refused = 0;
  ThreadReserve& reserve = NewReserve(Make, 0);
  pthread_t helper{};
  ASSERT_EQ(Make(
                &helper, nullptr,
                [](void*) -> void* {
                  EXPECT_TRUE(Eventually([] { return refused > 0; }));
                  left = 1;
                  return nullptr;
                },
                nullptr),
            0);
  absl::Notification done;
  pthread_t thread{};
  ASSERT_EQ(reserve.Create(&thread, nullptr, Notify, &done), 0);
  pthread_join(helper, nullptr);
  pthread_join(thread, nullptr);
  EXPECT_TRUE(done.HasBeenNotified());
}

TEST(ThreadReserveTest, ADetachedThreadIsDetached) {
  left = 1;
  ThreadReserve& reserve = NewReserve(Make, 1);
  ASSERT_OK(reserve.Fill());
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  struct Gate {
    absl::Notification ask, go;
  } gate;
  pthread_t thread{};
  ASSERT_EQ(reserve.Create(
                &thread, &attributes,
                [](void* argument) -> void* {
                  pthread_attr_t own;
                  int state = PTHREAD_CREATE_JOINABLE;
                  pthread_getattr_np(pthread_self(), &own);
                  pthread_attr_getdetachstate(&own, &state);
                  pthread_attr_destroy(&own);
                  if (state == PTHREAD_CREATE_DETACHED) {
                    static_cast<Gate*>(argument)->ask.Notify();
                  }
                  static_cast<Gate*>(argument)->go.Notify();
                  return nullptr;
                },
                &gate),
            0);
  gate.go.WaitForNotification();
  EXPECT_TRUE(gate.ask.HasBeenNotified());
  pthread_attr_destroy(&attributes);
}

TEST(ThreadReserveTest, OtherErrorsAreTheCallers) {
  ThreadReserve& reserve = NewReserve(Refuse, 1);
  EXPECT_THAT(reserve.Fill(), StatusIs(absl::StatusCode::kResourceExhausted));
  pthread_t thread{};
  EXPECT_EQ(reserve.Create(&thread, nullptr, Notify, nullptr), EPERM);
}

}  // namespace
}  // namespace crisp
