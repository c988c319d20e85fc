// Runs launches. Every thread of a block is a fiber; it runs until it must wait for others, and then the next ready one
// continues. Blocks run one after another.
#include "block.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <signal.h>
#include <string_view>
#include <vector>

#if defined(__SANITIZE_ADDRESS__) || defined(SIMT_TSAN) || defined(SIMT_MSAN)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(SIMT_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

uint3 threadIdx{};
uint3 blockIdx{};
dim3 blockDim;
dim3 gridDim;

namespace simt {

Block block;
const Launch* running_launch = nullptr;
Thread* current = nullptr;

namespace {

Schedule schedule_from_environment() {
  const char* const text = std::getenv("SIMT_SCHEDULE");
  const std::string_view name = text ? text : "forward";
  return name == "random" ? Schedule::random : name == "reverse" ? Schedule::reverse : Schedule::forward;
}

Schedule schedule = schedule_from_environment();
std::minstd_rand generator;
constexpr int kMaxFibers = kMaxThreads + 1;
Fiber* idle_fibers[kMaxFibers];
int idle_count = 0;
int fiber_count = 0;
#if defined(SIMT_TSAN)
Fiber* all_fibers[kMaxFibers];
char launch_start, launch_end;  // addresses for happens-before edges
#endif

int random_below(int count) { return static_cast<int>(generator() % static_cast<unsigned>(count)); }

void run_threads();

Fiber* take_fiber() {
  if (idle_count > 0) return idle_fibers[--idle_count];
  Fiber* const fiber = make_fiber(&run_threads);
#if defined(SIMT_TSAN)
  all_fibers[fiber_count] = fiber;
#endif
  ++fiber_count;
  return fiber;
}

void set_current(Thread& thread) {
  current = &thread;
  threadIdx = thread.index;
  block.ready.remove(thread.number);
}

/// The thread to go on with, null if none can run.
Thread* pick(int after) {
  int number = -1;
  switch (schedule) {
    case Schedule::forward: number = block.ready.first_from((after + 1) % block.thread_count); break;
    case Schedule::reverse: number = block.ready.last(); break;
    case Schedule::random: number = block.ready.first_from(random_below(block.thread_count)); break;
  }
  return number < 0 ? nullptr : &block.threads[number];
}

/// Continues with `next` until somebody continues the current thread.
void suspend(Thread* next) {
  Thread& self = *current;
  if (!next) fail_deadlocked();
  set_current(*next);
  if (next == &self) return;
  if (!next->fiber) next->fiber = take_fiber();
  switch_fiber(self.fiber, next->fiber);
}
void suspend() { suspend(pick(current->number)); }

void make_ready(Thread& thread) {
  thread.state = State::ready;
  block.ready.add(thread.number);
}

// ---- warps --------------------------------------------------------------------------------------------------------

/// Lanes met with the same mask: they must have met at the same place.
void check_same_place(Warp& warp, Thread* lanes, std::uint32_t group) {
  const int first = std::countr_zero(group);
  for (std::uint32_t rest = group; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    if (warp.combine[lane] == warp.combine[first] && lanes[lane].where.line() == lanes[first].where.line()) continue;
    fail("divergent warp collective: lanes %d and %d have mask 0x%08x, but are on lines %u and %u", first, lane,
         warp.mask[lane], lanes[first].where.line(), lanes[lane].where.line());
  }
}

/// Runs the exchange of the lanes of `mask` if all that live have arrived, and makes them ready.
bool try_exchange(Warp& warp, std::uint32_t mask) {
  const std::uint32_t group = mask & warp.live;
  if (!group || (warp.waiting & group) != group) return false;
  for (std::uint32_t rest = group; rest; rest &= rest - 1) {
    if (warp.mask[std::countr_zero(rest)] != mask) return false;  // waits with another group first
  }
  Thread* const lanes = &block.threads[32 * (&warp - block.warps)];
  check_same_place(warp, lanes, group);
  warp.combine[std::countr_zero(group)](warp.exchange, group);
  warp.waiting &= ~group;
  ++warp.generation;
  for (std::uint32_t rest = group; rest; rest &= rest - 1) make_ready(lanes[std::countr_zero(rest)]);
  return true;
}

// ---- blocks -------------------------------------------------------------------------------------------------------

void release_barrier() {
  Barrier& barrier = block.barrier;
  barrier.result[barrier.generation & 1] = barrier.tally;
  ++barrier.generation;
  barrier.arrived = 0;
  for (int i = 0; i < block.thread_count; ++i) {
    if (block.threads[i].state == State::at_barrier) make_ready(block.threads[i]);
  }
}

/// The current thread has returned from the kernel; those that waited for it may be complete without it.
void exit_thread() {
  Thread& thread = *current;
  Warp& warp = block.warp_of(thread);
  check_no_async_copies();
  thread.state = State::exited;
  thread.fiber = nullptr;
  warp.live &= ~(1u << thread.number % 32);
  --block.live;
  for (std::uint32_t rest = warp.waiting; rest; rest &= rest - 1) {
    if (try_exchange(warp, warp.mask[std::countr_zero(rest)])) break;
  }
  if (block.live > 0 && block.barrier.arrived == block.live) release_barrier();
}

/// Leaves the fiber of a thread that has exited. Returns when the fiber serves another thread.
void leave(Fiber* self) {
  const int after = current->number;
  Thread* const next = pick(after);
  if (!next && block.live > 0) fail_deadlocked();
#if !defined(SIMT_TSAN)
  if (next && !next->fiber) {
    next->fiber = self;
    set_current(*next);
    return;
  }
  idle_fibers[idle_count++] = self;
#endif
  // ThreadSanitizer: a fiber is a thread to it, so it serves one simulated thread of a block and then rests.
  if (!next) {
    current = nullptr;
    switch_fiber(self, host_fiber());
    return;
  }
  if (!next->fiber) next->fiber = take_fiber();
  set_current(*next);
  switch_fiber(self, next->fiber);
}

/// What every fiber does.
void run_threads() {
  fiber_started();
  for (;;) {
    Fiber* const self = current->fiber;
#if defined(SIMT_TSAN)
    __tsan_acquire(&launch_start);
#endif
    running_launch->body();
#if defined(SIMT_TSAN)
    __tsan_release(&launch_end);
#endif
    exit_thread();
    leave(self);
  }
}

void set_up_block(const Launch& launch, std::uint64_t number, uint3 index) {
  const dim3 size = launch.block;
  block.index = blockIdx = index;
  block.thread_count = block.live = static_cast<int>(size.x * size.y * size.z);
  block.ready.clear();
  for (int i = 0; i < block.thread_count; ++i) {
    const unsigned n = static_cast<unsigned>(i);
    block.threads[i] = {{n % size.x, n / size.x % size.y, n / (size.x * size.y)}, i, State::ready, false, {}, nullptr};
    block.ready.add(i);
  }
  for (int w = 0; w < block.warp_count(); ++w) {
    const int lanes = std::min(32, block.thread_count - 32 * w);
    block.warps[w].live = lanes == 32 ? ~0u : (1u << lanes) - 1;
    block.warps[w].waiting = 0;
    block.warps[w].generation = 0;
  }
  block.barrier.arrived = 0;
  block.barrier.generation = 0;
  reset_shared_memory(number);
}

#if defined(SIMT_TSAN)
/// Makes all fibers in advance, so that no simulated thread allocates, and deals them out in another rotation for every
/// block: threads of equal number in two blocks are then different threads, and races between blocks are seen.
void deal_fibers() {
  idle_count = 0;
  while (fiber_count < block.thread_count) take_fiber();
  const int shift = random_below(fiber_count);
  for (int i = 0; i < fiber_count; ++i) idle_fibers[i] = all_fibers[(i + shift) % fiber_count];
  idle_count = fiber_count;
}
#endif

void run_block() {
#if defined(SIMT_TSAN)
  deal_fibers();
#endif
  Thread* const first = pick(-1);
  first->fiber = take_fiber();
  set_current(*first);
  switch_fiber(host_fiber(), first->fiber);
  check_stores();
}

/// What the host and earlier kernels wrote is visible to the blocks that follow, and what those wrote to the host.
void order_memory() {
#if defined(SIMT_TSAN)
  host_fiber();
  __tsan_acquire(&launch_end);
  __tsan_release(&launch_start);
#endif
}

#if defined(__SANITIZE_ADDRESS__) || defined(SIMT_TSAN) || defined(SIMT_MSAN)
void explain_faults() { __sanitizer_set_death_callback(&describe_current); }
#else
void on_fault(int signal, siginfo_t* info, void*) {
  std::fprintf(stderr, "simt: error: %s at address %p: a bad or misaligned address, or too deep a stack\n",
               strsignal(signal), info->si_addr);
  describe_current();
  ::signal(signal, SIG_DFL);
  raise(signal);
}

/// On a stack of its own: the fiber's may be what overflowed.
void explain_faults() {
  static char stack[32 * 1024];
  stack_t alternate{};
  alternate.ss_sp = stack;
  alternate.ss_size = sizeof stack;
  sigaltstack(&alternate, nullptr);
  struct sigaction action {};
  action.sa_sigaction = &on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
}
#endif

std::vector<std::uint64_t> block_order(std::uint64_t count) {
  std::vector<std::uint64_t> order(count);
  for (std::uint64_t i = 0; i < count; ++i) order[i] = schedule == Schedule::reverse ? count - 1 - i : i;
  if (schedule == Schedule::random) std::shuffle(order.begin(), order.end(), generator);
  return order;
}

}  // namespace

Schedule set_schedule(Schedule value, std::uint64_t seed) {
  generator.seed(static_cast<unsigned>(seed));
  return std::exchange(schedule, value);
}

void ReadySet::clear() { std::fill(std::begin(words_), std::end(words_), 0); }

int ReadySet::first_from(int start) const {
  constexpr int kWords = kMaxThreads / 64;
  std::uint64_t word = words_[start / 64] & ~std::uint64_t{0} << start % 64;
  // One step more than there are words: the first one is looked at again from its beginning.
  for (int step = 0, at = start / 64; step <= kWords; ++step) {
    if (word) return 64 * at + std::countr_zero(word);
    at = (at + 1) % kWords;
    word = words_[at];
  }
  return -1;
}

int ReadySet::last() const {
  for (int at = kMaxThreads / 64; at-- > 0;) {
    if (words_[at]) return 64 * at + 63 - std::countl_zero(words_[at]);
  }
  return -1;
}

void run_launch(const Launch& launch) {
  [[maybe_unused]] static const bool once = (explain_faults(), true);
  if (running_launch) fail("a kernel is launched from a kernel");
  const dim3 grid = launch.grid;
  blockDim = launch.block;
  gridDim = grid;
  running_launch = &launch;
  prepare_shared_memory(launch.dynamic_shared_bytes);
  std::uint64_t number = 0;
  for (const std::uint64_t i : block_order(std::uint64_t{grid.x} * grid.y * grid.z)) {
    if (number % kBatchBlocks == 0) order_memory();
    const uint3 index = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                         static_cast<unsigned>(i / grid.x / grid.y)};
    set_up_block(launch, number++, index);
    run_block();
  }
  order_memory();
  forget_arguments();
  running_launch = nullptr;
}

int lane_index() {
  if (!current) fail("a warp intrinsic is used outside a kernel");
  return current->number % 32;
}

std::uint64_t exchange(std::uint32_t mask, std::uint64_t value, int source, Combine combine,
                       [[maybe_unused]] Ordering ordering, Location where) {
  const int lane = lane_index();
  Thread& self = *current;
  Warp& warp = block.warp_of(self);
  const std::uint32_t bit = 1u << lane;
  self.where = where;
  if (!(mask & bit))
    fail("lane %d calls a warp collective on line %u whose mask 0x%08x does not name it", lane, where.line(), mask);
  warp.exchange.in[lane] = value;
  warp.exchange.source[lane] = source;
  warp.mask[lane] = mask;
  warp.combine[lane] = combine;
  warp.waiting |= bit;
  self.state = State::at_warp;
#if defined(SIMT_TSAN)
  char* const sync = &warp.sync[warp.generation & 1];
  if (ordering == Ordering::memory) __tsan_release(sync);
#endif
  if (try_exchange(warp, mask))
    block.ready.remove(self.number);
  else
    suspend();
#if defined(SIMT_TSAN)
  if (ordering == Ordering::memory) __tsan_acquire(sync);
#endif
  return warp.exchange.out[lane];
}

int block_barrier(Vote vote, bool predicate, Location where) {
  if (!current) fail("a block barrier is used outside a kernel");
  Thread& self = *current;
  Barrier& barrier = block.barrier;
  self.where = where;
  self.state = State::at_barrier;
  if (barrier.arrived == 0) {
    barrier.where = where;
    barrier.vote = vote;
    barrier.tally = vote == Vote::all;
  } else if (barrier.vote != vote || barrier.where.line() != where.line()) {
    fail("divergent barrier: some threads wait on line %u, another one on line %u", barrier.where.line(), where.line());
  }
  if (vote == Vote::count) barrier.tally += predicate;
  if (vote == Vote::all) barrier.tally &= predicate;
  if (vote == Vote::any) barrier.tally |= predicate;
  const unsigned slot = barrier.generation & 1;
#if defined(SIMT_TSAN)
  __tsan_release(&barrier.sync[slot]);
#endif
  if (++barrier.arrived == block.live) {
    release_barrier();
    block.ready.remove(self.number);
  } else {
    suspend();
  }
#if defined(SIMT_TSAN)
  __tsan_acquire(&barrier.sync[slot]);
#endif
  return barrier.result[slot];
}

void yield() {
  if (!current) return;
  make_ready(*current);
  // In any schedule every other thread gets its turn before this one, else a loop that waits would never end.
  suspend(&block.threads[block.ready.first_from((current->number + 1) % block.thread_count)]);
}

void fence() {
  if (current) current->fenced = true;
}

void before_atomic([[maybe_unused]] const void* address) {
#if defined(SIMT_TSAN)
  if (current && current->fenced) __tsan_release(const_cast<void*>(address));
#endif
}

void after_atomic([[maybe_unused]] const void* address) {
#if defined(SIMT_TSAN)
  __tsan_acquire(const_cast<void*>(address));
#endif
}

void combine_shuffle(Exchange& exchange, std::uint32_t lanes) {
  for (std::uint32_t rest = lanes; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    const int source = exchange.source[lane] & 31;
    if (!(lanes >> source & 1)) fail("shuffle: lane %d reads from lane %d, which takes no part", lane, source);
    exchange.out[lane] = exchange.in[source];
  }
}

void combine_ballot(Exchange& exchange, std::uint32_t lanes) {
  std::uint64_t ballot = 0;
  for (std::uint32_t rest = lanes; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    ballot |= std::uint64_t{exchange.in[lane] != 0} << lane;
  }
  for (std::uint32_t rest = lanes; rest; rest &= rest - 1) exchange.out[std::countr_zero(rest)] = ballot;
}

void combine_match(Exchange& exchange, std::uint32_t lanes) {
  for (std::uint32_t rest = lanes; rest; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    std::uint64_t equal = 0;
    for (std::uint32_t others = lanes; others; others &= others - 1) {
      const int other = std::countr_zero(others);
      equal |= std::uint64_t{exchange.in[other] == exchange.in[lane]} << other;
    }
    exchange.out[lane] = equal;
  }
}

void combine_nothing(Exchange&, std::uint32_t) {}

namespace {

template <class Fn>
void reduce_lanes(Exchange& exchange, std::uint32_t lanes, Fn fn) {
  std::uint32_t result = static_cast<std::uint32_t>(exchange.in[std::countr_zero(lanes)]);
  for (std::uint32_t rest = lanes & (lanes - 1); rest; rest &= rest - 1) {
    result = fn(result, static_cast<std::uint32_t>(exchange.in[std::countr_zero(rest)]));
  }
  for (std::uint32_t rest = lanes; rest; rest &= rest - 1) exchange.out[std::countr_zero(rest)] = result;
}

}  // namespace

void combine_add(Exchange& exchange, std::uint32_t lanes) { reduce_lanes(exchange, lanes, std::plus<std::uint32_t>()); }
void combine_min(Exchange& exchange, std::uint32_t lanes) {
  reduce_lanes(exchange, lanes, [](std::uint32_t a, std::uint32_t b) { return std::min(a, b); });
}
void combine_max(Exchange& exchange, std::uint32_t lanes) {
  reduce_lanes(exchange, lanes, [](std::uint32_t a, std::uint32_t b) { return std::max(a, b); });
}

}  // namespace simt
