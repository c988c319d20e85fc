#pragma once
// Device-side intrinsics that involve other threads.
#include "simt/execution.h"

inline void __syncthreads(simt::Location at = simt::Location::current()) {
  simt::block_barrier(simt::Vote::none, false, at);
}
inline int __syncthreads_count(int predicate, simt::Location at = simt::Location::current()) {
  return simt::block_barrier(simt::Vote::count, predicate != 0, at);
}
inline int __syncthreads_and(int predicate, simt::Location at = simt::Location::current()) {
  return simt::block_barrier(simt::Vote::all, predicate != 0, at);
}
inline int __syncthreads_or(int predicate, simt::Location at = simt::Location::current()) {
  return simt::block_barrier(simt::Vote::any, predicate != 0, at);
}
inline void __syncwarp(unsigned mask = ~0u, simt::Location at = simt::Location::current()) {
  simt::exchange(mask, 0, 0, &simt::combine_nothing, simt::Ordering::memory, at);
}
inline void __threadfence() { simt::fence(); }
inline void __threadfence_block() { simt::fence(); }
inline void __threadfence_system() { simt::fence(); }
inline void __nanosleep(unsigned) { simt::yield(); }
[[noreturn]] inline void __trap() { simt::fail("__trap() was executed"); }

namespace simt {

template <class T>
T shuffle(unsigned mask, T value, int source, Location at) {
  return from_bits<T>(exchange(mask, to_bits(value), source, &combine_shuffle, Ordering::none, at));
}

/// `source` if it is in the lane's segment of `width` lanes, else the lane itself.
inline int in_segment(int source, int width) {
  const int first = lane_index() & ~(width - 1);
  return source >= first && source < first + width ? source : lane_index();
}

}  // namespace simt

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, simt::Location at = simt::Location::current()) {
  return simt::shuffle(mask, value, (simt::lane_index() & ~(width - 1)) + (source & (width - 1)), at);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, simt::Location at = simt::Location::current()) {
  const int source = simt::lane_index() ^ bits;
  // As on the device, a lane of an earlier segment may be read.
  const bool beyond = source >= (simt::lane_index() & ~(width - 1)) + width;
  return simt::shuffle(mask, value, beyond ? simt::lane_index() : source, at);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32,
                   simt::Location at = simt::Location::current()) {
  return simt::shuffle(mask, value, simt::in_segment(simt::lane_index() + static_cast<int>(distance), width), at);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32,
                 simt::Location at = simt::Location::current()) {
  return simt::shuffle(mask, value, simt::in_segment(simt::lane_index() - static_cast<int>(distance), width), at);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, simt::Location at = simt::Location::current()) {
  return static_cast<unsigned>(
      simt::exchange(mask, predicate != 0, 0, &simt::combine_ballot, simt::Ordering::none, at));
}
inline int __any_sync(unsigned mask, int predicate, simt::Location at = simt::Location::current()) {
  return __ballot_sync(mask, predicate, at) != 0;
}
inline int __all_sync(unsigned mask, int predicate, simt::Location at = simt::Location::current()) {
  return __ballot_sync(mask, !predicate, at) == 0;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, simt::Location at = simt::Location::current()) {
  return static_cast<unsigned>(
      simt::exchange(mask, simt::to_bits(value), 0, &simt::combine_match, simt::Ordering::none, at));
}
namespace simt {
inline unsigned reduce(unsigned mask, unsigned value, Combine combine, Location at) {
  return static_cast<unsigned>(exchange(mask, value, 0, combine, Ordering::none, at));
}
}  // namespace simt
inline unsigned __reduce_add_sync(unsigned mask, unsigned value, simt::Location at = simt::Location::current()) {
  return simt::reduce(mask, value, &simt::combine_add, at);
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value, simt::Location at = simt::Location::current()) {
  return simt::reduce(mask, value, &simt::combine_min, at);
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value, simt::Location at = simt::Location::current()) {
  return simt::reduce(mask, value, &simt::combine_max, at);
}

template <class T>
T __ldg(const T* pointer) {
  return *pointer;
}
