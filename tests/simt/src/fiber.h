#pragma once
#include <cstddef>

namespace simt {

/// A stack that execution can be switched to. Fibers are pooled and live as long as the process.
struct Fiber {
  void* stack_pointer = nullptr;
  char* bottom = nullptr;
  std::size_t bytes = 0;
  void* asan_fake_stack = nullptr;
  void* tsan_context = nullptr;
};

/// A fiber that will call entry(), which never returns, when it is first switched to.
Fiber* make_fiber(void (*entry)());
/// The stack of the OS thread that launches.
Fiber* host_fiber();
void switch_fiber(Fiber* from, Fiber* to);
/// Must be the first call of a fiber's entry function.
void fiber_started();

}  // namespace simt
