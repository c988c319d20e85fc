// The copies that simulated threads have issued and not yet waited for.
#include "simt/async_copy.h"

#include "block.h"

namespace simt {
namespace {

constexpr unsigned kMaxPending = 128;

/// Of one thread. Copies are numbered in order of issue; number n is in slot n % kMaxPending.
struct Queue {
  AsyncCopy copies[kMaxPending];
  int group[kMaxPending];
  unsigned first, end;
  int groups;  // committed so far
};

Queue& queue() {
  if (!current) fail("cp.async is used outside a kernel");
  static Queue queues[kMaxThreads];
  return queues[current->number];
}

}  // namespace

void push_async_copy(const AsyncCopy& copy) {
  Queue& mine = queue();
  if (mine.end - mine.first == kMaxPending) fail("cp.async: a thread has %u copies under way", kMaxPending);
  const unsigned slot = mine.end++ % kMaxPending;
  mine.copies[slot] = copy;
  mine.group[slot] = mine.groups;
}

void commit_async_copies() { ++queue().groups; }

bool pop_async_copy(int pending, AsyncCopy& copy) {
  Queue& mine = queue();
  const unsigned slot = mine.first % kMaxPending;
  if (mine.first == mine.end || mine.group[slot] >= mine.groups - pending) return false;
  copy = mine.copies[slot];
  ++mine.first;
  return true;
}

void check_no_async_copies() {
  const Queue& mine = queue();
  if (mine.first == mine.end) return;
  fail("cp.async: the thread exits with %u copies that it never waited for", mine.end - mine.first);
}

}  // namespace simt
