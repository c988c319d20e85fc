#pragma once
// Device functions of one thread. The fast intrinsics are computed from exp2 and log2, as the hardware does, so that
// their error grows with the argument in the same way; the last bits differ.
#include <climits>

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <math.h>

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }

namespace simt {
/// Conversions saturate, and NaN becomes 0.
inline int to_int(double x) {
  if (std::isnan(x)) return 0;
  return x <= INT_MIN ? INT_MIN : x >= INT_MAX ? INT_MAX : static_cast<int>(x);
}
inline float fast_exp(float x) { return exp2f(x * 1.44269504f); }
inline float fast_log(float x) { return log2f(x) * 0.69314718f; }
inline float fast_pow(float x, float y) { return exp2f(y * log2f(x)); }
}  // namespace simt
inline int __float2int_rn(float x) { return simt::to_int(std::nearbyint(x)); }
inline int __float2int_rz(float x) { return simt::to_int(std::trunc(x)); }
inline int __float2int_rd(float x) { return simt::to_int(std::floor(x)); }
inline int __float2int_ru(float x) { return simt::to_int(std::ceil(x)); }
inline float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
inline float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
inline int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
inline unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
inline long long __double_as_longlong(double x) { return __builtin_bit_cast(long long, x); }
inline double __longlong_as_double(long long x) { return __builtin_bit_cast(double, x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= (x >> i & 1u) << (31 - i);
  return reversed;
}

// glibc declares some of these names as functions, so they can only be macros.
#define __expf(x) simt::fast_exp(x)
#define __exp10f(x) exp2f((x)*3.32192809f)
#define __logf(x) simt::fast_log(x)
#define __log2f(x) log2f(x)
#define __powf(x, y) simt::fast_pow(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)

#define SIMT_MIN_MAX(T)                               \
  constexpr T min(T a, T b) { return b < a ? b : a; } \
  constexpr T max(T a, T b) { return a < b ? b : a; }
SIMT_MIN_MAX(int)
SIMT_MIN_MAX(unsigned)
SIMT_MIN_MAX(long)
SIMT_MIN_MAX(unsigned long)
SIMT_MIN_MAX(long long)
SIMT_MIN_MAX(unsigned long long)
#undef SIMT_MIN_MAX
// NaN loses against a number, as in fmin and fmax.
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
