#pragma once
// State of the block that is running: one at a time, on one OS thread. Plain arrays throughout: container code may be
// shared with instrumented translation units, and ThreadSanitizer would take its accesses for the kernel's.
#include "fiber.h"
#include "simt/control.h"
#include "simt/execution.h"

namespace simt {

inline constexpr int kMaxThreads = 1024;
inline constexpr int kMaxWarps = kMaxThreads / 32;

enum class State : std::uint8_t { ready, at_warp, at_barrier, exited };

struct Thread {
  uint3 index;
  int number;  // within the block
  State state;
  bool fenced;     // has executed a fence
  Location where;  // of the barrier or exchange it waits at
  Fiber* fiber;    // null before the start and after the end
};

struct Warp {
  Exchange exchange;
  std::uint32_t live;     // lanes that have not exited
  std::uint32_t waiting;  // lanes at an exchange; the arrays below are theirs
  std::uint32_t mask[32];
  Combine combine[32];
  unsigned generation;
  char sync[2];  // addresses for ThreadSanitizer's happens-before
};

struct Barrier {
  int arrived;
  Vote vote;
  int tally;
  unsigned generation;
  int result[2];
  Location where;
  char sync[2];
};

/// Threads that can run.
class ReadySet {
 public:
  void clear();
  void add(int thread) { words_[thread / 64] |= std::uint64_t{1} << thread % 64; }
  void remove(int thread) { words_[thread / 64] &= ~(std::uint64_t{1} << thread % 64); }
  /// The first one from `start` on, going round; -1 if there is none.
  int first_from(int start) const;
  int last() const;

 private:
  std::uint64_t words_[kMaxThreads / 64];
};

struct Block {
  uint3 index;
  int thread_count;
  int live;
  Thread threads[kMaxThreads];
  Warp warps[kMaxWarps];
  Barrier barrier;
  ReadySet ready;

  int warp_count() const { return (thread_count + 31) / 32; }
  Warp& warp_of(const Thread& thread) { return warps[thread.number / 32]; }
};

extern Block block;
extern const Launch* running_launch;  // null outside a kernel
extern Thread* current;               // null outside a kernel

void run_launch(const Launch& launch);

/// The part of a __PRETTY_FUNCTION__ that names the kernel.
const char* kernel_name(const char* pretty_function);
/// Prints kernel, block and thread to stderr; nothing outside a kernel.
void describe_current();
/// Prints who waits where.
void describe_block();
[[noreturn]] void fail_deadlocked();

/// Blocks between which ThreadSanitizer sees races: no more than this many run without an ordering among them.
inline constexpr int kBatchBlocks = 64;

/// Before a launch: room for its shared memory.
void prepare_shared_memory(std::size_t dynamic_bytes);
/// Before a block: everything undefined again. `block_number` counts the launch's blocks in the order they run.
void reset_shared_memory(std::uint64_t block_number);
/// After a block, under MemorySanitizer: it must have stored nothing unwritten in device memory.
void check_stores();
/// When a kernel ends: what its functions gave each other must not be seen by those that other code calls.
void forget_arguments();
/// Calls visit(data, bytes) for all device and pinned memory.
void visit_allocations(void (*visit)(const char* data, std::size_t bytes));
/// When a thread exits: all its cp.async have been waited for.
void check_no_async_copies();

}  // namespace simt
