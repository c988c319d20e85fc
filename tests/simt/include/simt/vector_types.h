#pragma once
// CUDA's vector types, with the sizes and alignments nvcc gives them.
#include <cstddef>
#include <cstdint>

#define SIMT_VECTORS(T, name, align2, align4)                                            \
  struct alignas(align2) name##2 {                                                       \
    T x, y;                                                                              \
  };                                                                                     \
  struct name##3 {                                                                       \
    T x, y, z;                                                                           \
  };                                                                                     \
  struct alignas(align4) name##4 {                                                       \
    T x, y, z, w;                                                                        \
  };                                                                                     \
  [[maybe_unused]] constexpr name##2 make_##name##2(T x, T y) { return {x, y}; }         \
  [[maybe_unused]] constexpr name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
  [[maybe_unused]] constexpr name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
SIMT_VECTORS(signed char, char, 2, 4)
SIMT_VECTORS(unsigned char, uchar, 2, 4)
SIMT_VECTORS(short, short, 4, 8)
SIMT_VECTORS(unsigned short, ushort, 4, 8)
SIMT_VECTORS(int, int, 8, 16)
SIMT_VECTORS(unsigned, uint, 8, 16)
SIMT_VECTORS(float, float, 8, 16)
SIMT_VECTORS(long long, longlong, 16, 16)
SIMT_VECTORS(double, double, 16, 16)
#undef SIMT_VECTORS

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_size = 1, unsigned y_size = 1, unsigned z_size = 1) : x(x_size), y(y_size), z(z_size) {}
  constexpr dim3(uint3 size) : x(size.x), y(size.y), z(size.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};
