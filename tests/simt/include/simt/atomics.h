#pragma once
// CUDA's atomics: relaxed, on global and shared memory. They return the old value.
#include "simt/execution.h"

namespace simt {

/// A loop that waits for another thread through atomics must let that thread run now and then.
SIMT_QUIET inline void count_atomic() {
  static unsigned count = 0;
  if (++count % 4096 == 0) yield();
}

/// *pointer = update(*pointer) by compare and swap.
template <class T, class F>
T atomic_update(T* pointer, F update) {
  using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t,
                                  std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint16_t>>;
  static_assert(sizeof(Bits) == sizeof(T));
  count_atomic();
  const AtomicOrder order(pointer);
  Bits* const bits = reinterpret_cast<Bits*>(pointer);
  Bits old = __atomic_load_n(bits, __ATOMIC_RELAXED);
  for (;;) {
    const Bits next = static_cast<Bits>(to_bits(static_cast<T>(update(from_bits<T>(old)))));
    check_written(&next, sizeof next);
    if (__atomic_compare_exchange_n(bits, &old, next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
      return from_bits<T>(old);
    }
  }
}

}  // namespace simt

template <class T>
T atomicAdd(T* pointer, std::type_identity_t<T> value) {
  return simt::atomic_update(pointer, [=](T old) { return old + value; });
}
template <class T>
T atomicSub(T* pointer, std::type_identity_t<T> value) {
  return simt::atomic_update(pointer, [=](T old) { return old - value; });
}
template <class T>
T atomicExch(T* pointer, std::type_identity_t<T> value) {
  return simt::atomic_update(pointer, [=](T) { return value; });
}
template <class T>
T atomicMin(T* pointer, std::type_identity_t<T> value) {
  return simt::atomic_update(pointer, [=](T old) { return value < old ? value : old; });
}
template <class T>
T atomicMax(T* pointer, std::type_identity_t<T> value) {
  return simt::atomic_update(pointer, [=](T old) { return old < value ? value : old; });
}
template <class T>
T atomicAnd(T* pointer, std::type_identity_t<T> value) {
  return simt::atomic_update(pointer, [=](T old) { return old & value; });
}
template <class T>
T atomicOr(T* pointer, std::type_identity_t<T> value) {
  return simt::atomic_update(pointer, [=](T old) { return old | value; });
}
template <class T>
T atomicXor(T* pointer, std::type_identity_t<T> value) {
  return simt::atomic_update(pointer, [=](T old) { return old ^ value; });
}
template <class T>
T atomicCAS(T* pointer, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return simt::atomic_update(pointer, [=](T old) { return old == expected ? value : old; });
}
inline unsigned atomicInc(unsigned* pointer, unsigned last) {
  return simt::atomic_update(pointer, [=](unsigned old) { return old >= last ? 0u : old + 1; });
}
