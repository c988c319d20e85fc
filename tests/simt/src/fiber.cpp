#include "fiber.h"

#include <cstdio>
#include <cstdlib>
#include <pthread.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#elif defined(SIMT_MSAN)
#include <sanitizer/msan_interface.h>
#elif defined(SIMT_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

// simt_switch_stack(void** save, void* to): leaves the callee-saved registers on the old stack and its pointer in
// *save, and goes on with the new stack where it once left off.
extern "C" void simt_switch_stack(void** save, void* to);
asm(R"(
.text
.globl simt_switch_stack
.hidden simt_switch_stack
.type simt_switch_stack, @function
simt_switch_stack:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret
.size simt_switch_stack, . - simt_switch_stack
)");

namespace simt {
namespace {

constexpr std::size_t kPage = 4096;
#if defined(__SANITIZE_ADDRESS__) || defined(SIMT_TSAN) || defined(SIMT_MSAN)
constexpr std::size_t kStackBytes = 256 * 1024;  // instrumented frames are larger
#else
constexpr std::size_t kStackBytes = 64 * 1024;
#endif

}  // namespace

Fiber* make_fiber(void (*entry)()) {
  static std::size_t made = 0;
  void* const memory = mmap(nullptr, kStackBytes + kPage, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("simt: no memory for a stack");
    std::abort();
  }
  mprotect(memory, kPage, PROT_NONE);  // a kernel that overflows its stack faults here
  auto* const fiber = new Fiber;
  fiber->bottom = static_cast<char*>(memory) + kPage;
  fiber->bytes = kStackBytes;
  // Stacks that all start at the same offset in a page would compete for the same cache sets.
  const std::size_t offset = made++ * 320 % kPage / 64 * 64;
  void** top = reinterpret_cast<void**>(fiber->bottom + fiber->bytes - offset);
  *--top = nullptr;  // a return address for entry(), so that unwinding ends here
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  fiber->stack_pointer = top;
#if defined(SIMT_TSAN)
  fiber->tsan_context = __tsan_create_fiber(0);
#endif
  return fiber;
}

Fiber* host_fiber() {
  static Fiber* const host = [] {
    auto* const fiber = new Fiber;
    pthread_attr_t attributes;
    void* bottom = nullptr;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &bottom, &fiber->bytes);
    pthread_attr_destroy(&attributes);
    fiber->bottom = static_cast<char*>(bottom);
    return fiber;
  }();
#if defined(SIMT_TSAN)
  if (!host->tsan_context) host->tsan_context = __tsan_get_current_fiber();
#endif
  return host;
}

namespace {

/// Execution goes on on this stack.
void arrive([[maybe_unused]] void* fake_stack) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#elif defined(SIMT_MSAN)
  __msan_finish_switch_fiber(nullptr, nullptr);
#endif
}

}  // namespace

void switch_fiber(Fiber* from, Fiber* to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from->asan_fake_stack, to->bottom, to->bytes);
#elif defined(SIMT_MSAN)
  __msan_start_switch_fiber(to->bottom, to->bytes);
#elif defined(SIMT_TSAN)
  __tsan_switch_to_fiber(to->tsan_context, __tsan_switch_to_fiber_no_sync);
#endif
  simt_switch_stack(&from->stack_pointer, to->stack_pointer);
  arrive(from->asan_fake_stack);
}

void fiber_started() { arrive(nullptr); }

}  // namespace simt
