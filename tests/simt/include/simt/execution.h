#pragma once
// What the device-side headers ask of the execution engine (src/): warp exchanges, barriers, shared memory, launches.
#include "simt/unwritten.h"
#include "simt/vector_types.h"

#include <bit>
#include <cstring>
#include <functional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__SANITIZE_THREAD__)
// Bookkeeping that belongs to no simulated thread, so ThreadSanitizer must not see it.
#define SIMT_QUIET __attribute__((no_sanitize("thread"), noinline))
#else
#define SIMT_QUIET
#endif

// Real variables, so that a debugger understands `break file.cu:72 if threadIdx.x == 5`.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
inline constexpr int warpSize = 32;

namespace simt {

using Location = std::source_location;

/// Reports kernel, block, thread and where every other thread of the block is, then aborts.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// ---- warps --------------------------------------------------------------------------------------------------------
/// Every lane of a group leaves 8 bytes; the last lane to arrive runs `combine` once for all of them.
struct Exchange {
  std::uint64_t in[32];
  std::uint64_t out[32];
  int source[32];  // the lane that a shuffle reads from
};
using Combine = void (*)(Exchange&, std::uint32_t lanes);
/// Only __syncwarp orders memory; shuffles and votes do not.
enum class Ordering { none, memory };
std::uint64_t exchange(std::uint32_t mask, std::uint64_t value, int source, Combine combine, Ordering ordering,
                       Location where);
void combine_shuffle(Exchange&, std::uint32_t lanes);
void combine_ballot(Exchange&, std::uint32_t lanes);
void combine_match(Exchange&, std::uint32_t lanes);
void combine_nothing(Exchange&, std::uint32_t lanes);
void combine_add(Exchange&, std::uint32_t lanes);
void combine_min(Exchange&, std::uint32_t lanes);
void combine_max(Exchange&, std::uint32_t lanes);
int lane_index();

template <class T>
std::uint64_t to_bits(const T& value) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>, "a warp exchanges trivial types of up to 8 bytes");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}
template <class T>
T from_bits(std::uint64_t bits) {
  T value;
  std::memcpy(static_cast<void*>(&value), &bits, sizeof value);
  return value;
}

// ---- blocks -------------------------------------------------------------------------------------------------------
enum class Vote : std::uint8_t { none, count, all, any };
/// Returns when every thread of the block that has not exited is here.
int block_barrier(Vote vote, bool predicate, Location where);
void fence();
/// Lets other threads of the block run, for loops that wait for one of them.
void yield();

void before_atomic(const void* address);
void after_atomic(const void* address);
/// Tells ThreadSanitizer that an atomic acquires, and that it releases once its thread has executed a fence.
class AtomicOrder {
 public:
#if defined(__SANITIZE_THREAD__)
  explicit AtomicOrder(const void* address) : address_(address) { before_atomic(address); }
  ~AtomicOrder() { after_atomic(address_); }

 private:
  const void* address_;
#else
  explicit AtomicOrder(const void*) {}
#endif
};

// ---- shared memory ------------------------------------------------------------------------------------------------
extern std::uint64_t block_serial;  // another value for every block that runs
void* allocate_shared(const void* key, std::size_t bytes, std::size_t align);
void* dynamic_shared();
/// What fresh memory is filled with: 0xFF, which is NaN in every floating-point format, or SIMT_FILL, a hexadecimal
/// byte in the environment. A kernel whose results depend on it reads what nobody has written.
char undefined_byte();
/// Fails unless 16 bytes at the address are aligned and inside the running block's shared memory.
void check_shared_access(const char* what, const void* address);

/// The running block's instance of one VISAGE_SHARED declaration; `Tag` is the declaration.
template <class Tag, class T>
SIMT_QUIET T& shared_variable() {
  static_assert(std::is_trivially_default_constructible_v<std::remove_all_extents_t<T>>,
                "shared variables have no constructors");
  static const char key = 0;
  static std::uint64_t serial = 0;
  static void* address = nullptr;
  if (serial != block_serial) {
    address = allocate_shared(&key, sizeof(T), alignof(T));
    serial = block_serial;
  }
  return *static_cast<T*>(address);
}

// ---- launches -----------------------------------------------------------------------------------------------------
struct Stream;

struct Launch {
  dim3 grid, block;
  std::size_t dynamic_shared_bytes = 0;
  const void* function = nullptr;
  const char* name = nullptr;
  std::vector<const void*> pointers;  // the arguments, null for those that are no pointers
  std::function<void()> body;         // runs the kernel for the current thread
};
/// Returns a cudaError_t value.
int enqueue_launch(Stream* stream, Launch launch);
void name_next_launch(const char* pretty_function);
const char* take_launch_name();

template <class P>
const void* pointer_or_null([[maybe_unused]] const P& argument) {
  if constexpr (std::is_pointer_v<P>) return argument;
  return nullptr;
}

template <class... P, class Arguments>
int launch(Stream* stream, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, Arguments arguments) {
  static_assert(((std::is_trivially_copy_constructible_v<P> && std::is_trivially_destructible_v<P>)&&...),
                "kernel parameters are copied byte by byte");
  static_assert((!std::is_reference_v<P> && ...), "kernel parameters cannot be references");
  static_assert((std::size_t{0} + ... + sizeof(P)) <= 4096, "kernel parameters exceed 4 KiB");
  const auto list = [](const auto&... argument) { return std::vector<const void*>{pointer_or_null(argument)...}; };
  return enqueue_launch(stream, {grid, block, shared_bytes, reinterpret_cast<const void*>(kernel), take_launch_name(),
                                 std::apply(list, arguments), [kernel, arguments] { std::apply(kernel, arguments); }});
}

}  // namespace simt
