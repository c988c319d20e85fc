#pragma once
// cp.async: the destination is undefined from the issue to the wait, where the copy really happens.
#include "simt/execution.h"

namespace simt {

inline constexpr int kAsyncCopyBytes = 16;

struct AsyncCopy {
  char* to;
  const char* from;
  int bytes;                    // the rest of the 16 is filled with zeros
  char value[kAsyncCopyBytes];  // of the source when the copy was issued
};

/// The current thread's queue of copies.
void push_async_copy(const AsyncCopy& copy);
void commit_async_copies();
/// Takes the oldest copy that must be complete when at most `pending` groups are under way; false if there is none.
bool pop_async_copy(int pending, AsyncCopy& copy);

// Reads and writes of the kernel's memory are here and not in src/, where the sanitizers would not see them.
inline void async_copy(void* to, const void* from, int bytes) {
  check_shared_access("cp.async", to);
  if (reinterpret_cast<std::uintptr_t>(from) % kAsyncCopyBytes != 0) fail("cp.async: source %p is not aligned", from);
  if (bytes < 0 || bytes > kAsyncCopyBytes) fail("cp.async: %d bytes of 16", bytes);
  AsyncCopy copy{static_cast<char*>(to), static_cast<const char*>(from), bytes, {}};
  for (int i = 0; i < bytes; ++i) copy.value[i] = copy.from[i];
  const char undefined = undefined_byte();
  for (int i = 0; i < kAsyncCopyBytes; ++i) copy.to[i] = undefined;
  mark_unwritten(to, kAsyncCopyBytes);
  push_async_copy(copy);
}

inline void wait_async_copies(int pending) {
  AsyncCopy copy;
  while (pop_async_copy(pending, copy)) {
    char source[kAsyncCopyBytes];
    for (int i = 0; i < copy.bytes; ++i) source[i] = copy.from[i];
    for (int i = 0; i < kAsyncCopyBytes; ++i) copy.to[i] = copy.value[i];
    // To copy what nobody has written is no fault, so the comparison must not be one.
    mark_written(source, sizeof source);
    mark_written(copy.value, sizeof copy.value);
    if (std::memcmp(source, copy.value, static_cast<std::size_t>(copy.bytes)) != 0) {
      fail("cp.async: the source changed before the wait");
    }
  }
}

}  // namespace simt
