#pragma once
// Element types of device memory, and 16-byte packets of them. Arithmetic happens in float.
#include "tensor/dtype.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace visage::cuda {

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(__half value) { return __half2float(value); }
__device__ __forceinline__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

template <class T>
__device__ __forceinline__ T from_float(float value);
template <>
__device__ __forceinline__ float from_float<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ __half from_float<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

/// kSize consecutive elements that travel in one memory instruction of at most 16 bytes.
template <class T, int kSize>
struct alignas(sizeof(T) * kSize) Packet {
  static_assert(sizeof(T) * kSize <= 16);
  T element[kSize];
};

/// Elements of T in a full packet.
template <class T>
inline constexpr int kPacketSize = 16 / static_cast<int>(sizeof(T));

/// The pointer must be aligned to the packet's size.
template <int kSize, class T>
__device__ __forceinline__ void load_packet(const T* from, float (&values)[kSize]) {
  const Packet<T, kSize> packet = *reinterpret_cast<const Packet<T, kSize>*>(from);
#pragma unroll
  for (int i = 0; i < kSize; ++i) values[i] = to_float(packet.element[i]);
}

template <int kSize, class T>
__device__ __forceinline__ void store_packet(T* to, const float (&values)[kSize]) {
  Packet<T, kSize> packet;
#pragma unroll
  for (int i = 0; i < kSize; ++i) packet.element[i] = from_float<T>(values[i]);
  *reinterpret_cast<Packet<T, kSize>*>(to) = packet;
}

/// to[0..kSize) = beta * to + values; beta 0 does not read `to`. The pointer must be aligned to the packet's size.
template <int kSize, class T>
__device__ __forceinline__ void write_gradient(T* to, float beta, const float (&values)[kSize]) {
  if (beta == 0) return store_packet(to, values);
  float total[kSize];
  load_packet<kSize>(to, total);
#pragma unroll
  for (int i = 0; i < kSize; ++i) total[i] = beta * total[i] + values[i];
  store_packet(to, total);
}

inline bool is_packet_aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

/// Calls fn(T{}) with the device type of a floating-point dtype: the only dtype switch kernel files need. The op has
/// already refused every other type.
template <class Fn>
void for_dtype(DType dtype, Fn&& fn) {
  if (dtype == DType::bf16) return fn(__nv_bfloat16{});
  if (dtype == DType::f16) return fn(__half{});
  fn(float{});
}

/// The same for ops that take f32 and bf16 only.
template <class Fn>
void for_f32_or_bf16(DType dtype, Fn&& fn) {
  dtype == DType::bf16 ? fn(__nv_bfloat16{}) : fn(float{});
}

}  // namespace visage::cuda
