#pragma once
// Tensor cores: one warp multiplies a small tile, d[16, 8] += a[16, k] * b[k, 8], accumulated in f32. k is 16 for bf16
// and f16, 8 for tf32. All 32 lanes take part in every function here. A tile is spread over the registers of the lanes
// ("fragment"; PTX ISA, "Matrix Fragments for mma.m16n8k16"). With g = lane / 4 and t = lane % 4 a lane holds
//
//   16 bits, two elements a register, the one with the lower index in the low half:
//     a[0] = A(g,     2t..2t+1)   a[1] = A(g + 8, 2t..2t+1)   a[2] = A(g, 2t+8..2t+9)   a[3] = A(g + 8, 2t+8..2t+9)
//     b[0] = B(2t..2t+1,     g)   b[1] = B(2t+8..2t+9, g)
//   tf32, one element a register:
//     a[0] = A(g,     t)          a[1] = A(g + 8, t)          a[2] = A(g, t + 4)        a[3] = A(g + 8, t + 4)
//     b[0] = B(t,     g)          b[1] = B(t + 4, g)
//   accumulators, in all formats:
//     d[0] = D(g, 2t)             d[1] = D(g, 2t + 1)         d[2] = D(g + 8, 2t)       d[3] = D(g + 8, 2t + 1)
#include "tensor/cuda/packet.cuh"

#include <type_traits>

namespace visage::cuda {

inline constexpr int kMmaRows = 16;
inline constexpr int kMmaColumns = 8;
/// The depth k of one product of 16-bit elements.
inline constexpr int kMmaDepth = 16;
inline constexpr int kMmaDepthTf32 = 8;

/// Row and column of D that accumulator i of a lane holds.
__device__ __forceinline__ int mma_row(int lane, int i) { return lane / 4 + i / 2 * 8; }
__device__ __forceinline__ int mma_column(int lane, int i) { return lane % 4 * 2 + i % 2; }

/// Two elements of a 16-bit type in one register, `first` in the low half.
template <class T>
__device__ __forceinline__ unsigned pack_pair(float first, float second) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
    return *reinterpret_cast<const unsigned*>(&pair);
  } else {
    const __half2 pair = __floats2half2_rn(first, second);
    return *reinterpret_cast<const unsigned*>(&pair);
  }
}

/// The accumulators of two products side by side, D[16, 16], as the left operand of the next product: attention's
/// softmax(q k) v without a trip through shared memory.
template <class T>
__device__ __forceinline__ void pack_accumulators(unsigned (&a)[4], const float (&left)[4], const float (&right)[4]) {
  a[0] = pack_pair<T>(left[0], left[1]);
  a[1] = pack_pair<T>(left[2], left[3]);
  a[2] = pack_pair<T>(right[0], right[1]);
  a[3] = pack_pair<T>(right[2], right[3]);
}

#ifdef VISAGE_SIMT

/// d += a * b for T = __nv_bfloat16 or __half.
template <class T>
void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], simt::Location at = simt::Location::current()) {
  constexpr bool kBf16 = std::is_same_v<T, __nv_bfloat16>;
  static_assert(kBf16 || std::is_same_v<T, __half>);
  simt::mma(kBf16 ? simt::MmaFormat::bf16 : simt::MmaFormat::f16, d, a, b, at);
}
/// d += a * b for registers from to_tf32.
inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                     simt::Location at = simt::Location::current()) {
  simt::mma(simt::MmaFormat::tf32, d, a, b, at);
}
/// Rounds to 10 bits of mantissa, ties away from zero. NaN and infinity stay what they are.
inline unsigned to_tf32(float value) {
  const unsigned bits = __float_as_uint(value);
  return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
}
/// N = 2 or 4 matrices of 8x8 16-bit elements from shared memory: lane i gives the address of row i % 8 of matrix i / 8
/// (a row is 16 aligned bytes; lanes from 8N on are not asked) and gets M(g, 2t..2t+1) of matrix j in registers[j].
template <int N>
void load_matrix(unsigned (&registers)[N], const void* row, simt::Location at = simt::Location::current()) {
  simt::load_matrix(registers, row, simt::Transposed::no, at);
}
/// The same, but a lane gets M(2t..2t+1, g), the elements of a column.
template <int N>
void load_matrix_transposed(unsigned (&registers)[N], const void* row, simt::Location at = simt::Location::current()) {
  simt::load_matrix(registers, row, simt::Transposed::yes, at);
}

#else

template <class T>
__device__ __forceinline__ void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]);
template <>
__device__ __forceinline__ void mma<__nv_bfloat16>(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
template <>
__device__ __forceinline__ void mma<__half>(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ unsigned to_tf32(float value) {
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
  return rounded;
}

namespace detail {
__device__ __forceinline__ unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}
}  // namespace detail

template <int N>
__device__ __forceinline__ void load_matrix(unsigned (&registers)[N], const void* row) {
  static_assert(N == 2 || N == 4);
  if constexpr (N == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(registers[0]), "=r"(registers[1])
                 : "r"(detail::shared_address(row))
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(detail::shared_address(row))
                 : "memory");
  }
}
template <int N>
__device__ __forceinline__ void load_matrix_transposed(unsigned (&registers)[N], const void* row) {
  static_assert(N == 2 || N == 4);
  if constexpr (N == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(registers[0]), "=r"(registers[1])
                 : "r"(detail::shared_address(row))
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(detail::shared_address(row))
                 : "memory");
  }
}

#endif

// Operands from tiles in shared memory. `stride` counts elements from row to row; rows start on 16 bytes. A stride of
// an odd number of 16-byte units (64 + 8 elements, say) keeps the eight rows of a matrix in different banks.

/// A[16, 16] from a row-major tile.
template <class T>
__device__ __forceinline__ void load_a(unsigned (&a)[4], const T* tile, int stride, int lane) {
  load_matrix(a, tile + lane % 16 * stride + lane / 16 * 8);
}
/// A[16, 16] from a tile that holds its transpose: tile[k, row].
template <class T>
__device__ __forceinline__ void load_a_transposed(unsigned (&a)[4], const T* tile, int stride, int lane) {
  load_matrix_transposed(a, tile + (lane % 8 + lane / 16 * 8) * stride + lane / 8 % 2 * 8);
}
/// B[16, 8] from a tile that holds its transpose, as weights [out, in] and keys [token, channel] are: tile[column, k].
template <class T>
__device__ __forceinline__ void load_b_transposed(unsigned (&b)[2], const T* tile, int stride, int lane) {
  load_matrix(b, tile + lane % 8 * stride + lane / 8 % 2 * 8);
}
/// B[16, 8] from a row-major tile[k, column], as values [token, channel] are.
template <class T>
__device__ __forceinline__ void load_b(unsigned (&b)[2], const T* tile, int stride, int lane) {
  load_matrix_transposed(b, tile + lane % 16 * stride);
}

}  // namespace visage::cuda
