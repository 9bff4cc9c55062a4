# Compiler cache, linker, warnings and sanitizers; all optional tools are used where present.
find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths count from the source's root, so that another clone finds the same objects.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
endif()
find_program(MOLD ld.mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

if(CRISP_STATIC)
  # Only what is used of the archives, and in a release of our own code, gets into the programs.
  add_compile_options($<$<CONFIG:Release>:-ffunction-sections> $<$<CONFIG:Release>:-fdata-sections>)
  add_link_options(-Wl,--gc-sections)
endif()

# Most of what an idle daemon weighs are its program's pages: a release is optimised for size (see
# CMakePresets.json), and has equal functions once (templates make many).
if(MOLD)
  add_link_options($<$<CONFIG:Release>:-Wl,--icf=safe>)
endif()

add_library(crisp_flags INTERFACE)
# Designated initialisers leave the rest at its default on purpose.
target_compile_options(crisp_flags INTERFACE -Wall -Wextra -Wshadow -Werror -Wno-missing-field-initializers)
# Said once: the builds with sanitizers and for fuzzers have the same sources, and take the flags as reasons to build
# all of them anew.
if(NOT CRISP_SANITIZE AND NOT CRISP_FUZZ)
  target_compile_options(crisp_flags INTERFACE -Wconversion -Wnon-virtual-dtor)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    # GCC's -Wconversion leaves signs out. What the kernel takes and gives is signed and counted in size_t, and most of
    # what this would say is of a length behind a check that it is not negative.
    target_compile_options(crisp_flags INTERFACE -Wno-sign-conversion)
  endif()
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports false positives from inlined libstdc++ strings, abseil's StatusOr, and the frames
  # of Asio's coroutines (mismatched-new-delete).
  target_compile_options(crisp_flags INTERFACE -Wno-restrict -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-array-bounds
    -Wno-mismatched-new-delete)
endif()
target_compile_definitions(crisp_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)

if(CRISP_SANITIZE)
  add_compile_options(-fsanitize=${CRISP_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${CRISP_SANITIZE})
endif()
if(CRISP_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

option(CRISP_COVERAGE "Count which lines run (hack/coverage.sh)" OFF)
if(CRISP_COVERAGE)
  # All but the shim, which has no C++ library to write the counts with.
  set(counted $<NOT:$<STREQUAL:$<TARGET_PROPERTY:NAME>,crisp-shim>>)
  target_compile_options(crisp_flags INTERFACE "$<${counted}:--coverage;-fprofile-update=atomic>")
  target_link_options(crisp_flags INTERFACE "$<${counted}:--coverage>")
endif()

if(CRISP_SANITIZE STREQUAL "thread")
  # TSan knows no fences. Asio's come on top of the mutex that hands work from thread to thread.
  target_compile_definitions(crisp_flags INTERFACE BOOST_ASIO_DISABLE_FENCED_BLOCK)
  # What base/testing/tsan_mutex.cc wraps: see there.
  foreach(symbol IN ITEMS
      _ZN4absl7debian312Notification6NotifyEv
      _ZN4absl7debian35Mutex10ReaderLockEv
      _ZN4absl7debian35Mutex12ReaderUnlockEv
      _ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE
      _ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE
      _ZN4absl7debian35Mutex4LockEv
      _ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE
      _ZN4absl7debian35Mutex6UnlockEv
      _ZN4absl7debian35Mutex7TryLockEv
      _ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE
      _ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE
      _ZN4absl7debian37CondVar4WaitEPNS0_5MutexE
      _ZNK4absl7debian312Notification19WaitForNotificationEv
      _ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE
      _ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE)
    add_link_options(-Wl,--wrap=${symbol})
  endforeach()
endif()
