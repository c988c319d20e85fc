#include "ops/attention/sigmoid_threshold.h"
#include "ops/mask_output/mask_output_kernels.h"
#include "ops/simd/avx512.h"

#include <bit>

#define VISAGE_AVX512 [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]]

namespace visage::ops {
namespace {

static_assert(kMaskBlock == 16);

VISAGE_AVX512 void resample(const AxisTaps& taps, const float* in, std::int64_t first, std::int64_t last, float* out) {
  for (std::int64_t block = first; block < last; ++block) {
    const std::int64_t i = block * kMaskBlock;
    const __m512i lower = _mm512_loadu_si512(taps.lower + i), upper = _mm512_loadu_si512(taps.upper + i);
    const __m512 weight = _mm512_loadu_ps(taps.weight + i);
    __m512 a, b;
    if (taps.narrow[block]) {
      const __m512 window = _mm512_loadu_ps(in + taps.lower[i]);
      const __m512i start = _mm512_set1_epi32(taps.lower[i]);
      a = _mm512_permutexvar_ps(_mm512_sub_epi32(lower, start), window);
      b = _mm512_permutexvar_ps(_mm512_sub_epi32(upper, start), window);
    } else {
      a = _mm512_i32gather_ps(lower, in, 4);
      b = _mm512_i32gather_ps(upper, in, 4);
    }
    const __m512 rest = _mm512_sub_ps(_mm512_set1_ps(1.f), weight);
    _mm512_storeu_ps(out + i, _mm512_fmadd_ps(weight, b, _mm512_mul_ps(rest, a)));
  }
}

VISAGE_AVX512 inline __mmask16 first_lanes(std::int64_t count) {
  return static_cast<__mmask16>(count >= kMaskBlock ? 0xffff : (1 << count) - 1);
}

VISAGE_AVX512 void positive_bits(const float* x, std::int64_t count, std::uint64_t* words, std::int64_t at) {
  for (std::int64_t i = 0; i < count; i += kMaskBlock, at += kMaskBlock) {
    const __m512 value = _mm512_loadu_ps(x + i);
    const std::uint64_t bits = _mm512_mask_cmp_ps_mask(first_lanes(count - i), value, _mm512_setzero_ps(), _CMP_GT_OQ);
    if (!bits) continue;
    const std::int64_t shift = at % 64;
    words[at / 64] |= bits << shift;
    if (shift > 64 - kMaskBlock && bits >> (64 - shift)) words[at / 64 + 1] |= bits >> (64 - shift);
  }
}

VISAGE_AVX512 void quality(const float* x, std::int64_t count, double* sum, std::int64_t* above) {
  const __m512 one = _mm512_set1_ps(1.f), minus_log2e = _mm512_set1_ps(-1.44269504f);
  __m512 total = _mm512_setzero_ps();
  std::int64_t number = 0;
  for (std::int64_t i = 0; i < count; i += kMaskBlock) {
    const __m512 value = _mm512_loadu_ps(x + i);
    const __mmask16 is_above =
        _mm512_mask_cmp_ps_mask(first_lanes(count - i), value, _mm512_set1_ps(kLeastAboveHalf), _CMP_GE_OQ);
    if (!is_above) continue;
    const __m512 e = avx512::exp2_nonpositive(_mm512_maskz_mul_ps(is_above, value, minus_log2e));
    total = _mm512_mask_add_ps(total, is_above, total, _mm512_div_ps(one, _mm512_add_ps(one, e)));
    number += std::popcount(static_cast<unsigned>(is_above));
  }
  *sum += static_cast<double>(_mm512_reduce_add_ps(total));
  *above += number;
}

}  // namespace

const ColumnKernels& avx512_column_kernels() {
  static constexpr ColumnKernels kernels{resample, positive_bits, quality};
  return kernels;
}

}  // namespace visage::ops
