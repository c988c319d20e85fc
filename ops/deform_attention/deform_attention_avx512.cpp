#include "ops/deform_attention/deform_attention_kernels.h"
#include "ops/simd/avx512.h"
#include "tensor/cpu/parallel.h"
#include "tensor/float16.h"

#include <cmath>
#include <vector>

#define VISAGE_AVX512 [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]]

namespace visage::ops {
namespace {

constexpr int kLanes = 16;

// What the samples of a head have in common for all queries of one level; lane = sample.
struct alignas(64) Lanes {
  float ratio_x[kLanes], ratio_y[kLanes];
  std::int32_t width[kLanes], height[kLanes], start[kLanes];
};

Lanes lanes_of(const DeformFusedArgs& args, int own) {
  Lanes lanes{};
  for (int s = 0; s < kLanes; ++s) {
    const std::int64_t l = s / args.points < args.levels ? s / args.points : 0;
    const DeformLevel& level = args.level[l];
    lanes.ratio_x[s] = static_cast<float>(level.width) / static_cast<float>(args.level[own].width);
    lanes.ratio_y[s] = static_cast<float>(level.height) / static_cast<float>(args.level[own].height);
    lanes.width[s] = static_cast<std::int32_t>(level.width);
    lanes.height[s] = static_cast<std::int32_t>(level.height);
    lanes.start[s] = static_cast<std::int32_t>(level.start);
  }
  return lanes;
}

// Row offsets (in elements) and weights of the four corners of every sample, corner after corner.
struct alignas(64) Corners {
  float weight[5 * kLanes];
  std::int32_t row[5 * kLanes];
};

VISAGE_AVX512 inline __m512 softmax(const float* logits, __mmask16 used) {
  const __m512 x = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), used, logits);
  const __m512 e = avx512::exp_nonpositive(_mm512_sub_ps(x, _mm512_set1_ps(_mm512_mask_reduce_max_ps(used, x))));
  const __m512 kept = _mm512_maskz_mov_ps(used, e);
  return _mm512_div_ps(kept, _mm512_set1_ps(_mm512_reduce_add_ps(kept)));
}

VISAGE_AVX512 inline __m512i clamp(__m512i index, __m512i size) {
  const __m512i last = _mm512_sub_epi32(size, _mm512_set1_epi32(1));
  return _mm512_max_epi32(_mm512_min_epi32(index, last), _mm512_setzero_si512());
}

VISAGE_AVX512 inline __mmask16 inside(__m512i index, __m512i size) {
  return _mm512_cmpge_epi32_mask(index, _mm512_setzero_si512()) & _mm512_cmplt_epi32_mask(index, size);
}

// Undefined and far positions convert to INT_MIN, which is inside no level.
VISAGE_AVX512 void find_corners(const Lanes& lanes, int samples, float column, float line, const float* offsets,
                                const float* logits, std::int32_t pitch, Corners& corners) {
  const auto used = static_cast<__mmask16>((1u << samples) - 1);
  const __m512 attention = softmax(logits, used);
  const auto pairs = static_cast<std::uint32_t>((std::uint64_t{1} << (2 * samples)) - 1);
  const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(pairs), offsets);
  const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(pairs >> 16), offsets + kLanes);
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i one = _mm512_set1_epi32(1);
  const __m512 dx = _mm512_permutex2var_ps(low, even, high);
  const __m512 dy = _mm512_permutex2var_ps(low, _mm512_add_epi32(even, one), high);
  const __m512 half = _mm512_set1_ps(0.5f);
  const __m512 x = _mm512_add_ps(_mm512_fmsub_ps(_mm512_set1_ps(column), _mm512_load_ps(lanes.ratio_x), half), dx);
  const __m512 y = _mm512_add_ps(_mm512_fmsub_ps(_mm512_set1_ps(line), _mm512_load_ps(lanes.ratio_y), half), dy);
  const __m512 left = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  const __m512 top = _mm512_roundscale_ps(y, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  const __m512 fx = _mm512_sub_ps(x, left), fy = _mm512_sub_ps(y, top);
  const __m512 gx = _mm512_sub_ps(_mm512_set1_ps(1.f), fx);
  const __m512 by = _mm512_mul_ps(fy, attention), ay = _mm512_sub_ps(attention, by);
  const __m512i x0 = _mm512_cvtps_epi32(left), y0 = _mm512_cvtps_epi32(top);
  const __m512i x1 = _mm512_add_epi32(x0, one), y1 = _mm512_add_epi32(y0, one);
  const __m512i width = _mm512_load_si512(lanes.width), height = _mm512_load_si512(lanes.height);
  const __mmask16 in_x0 = inside(x0, width), in_x1 = inside(x1, width);
  const __mmask16 in_y0 = inside(y0, height), in_y1 = inside(y1, height);
  _mm512_storeu_ps(corners.weight, _mm512_maskz_mul_ps(in_x0 & in_y0, gx, ay));
  _mm512_storeu_ps(corners.weight + samples, _mm512_maskz_mul_ps(in_x1 & in_y0, fx, ay));
  _mm512_storeu_ps(corners.weight + 2 * samples, _mm512_maskz_mul_ps(in_x0 & in_y1, gx, by));
  _mm512_storeu_ps(corners.weight + 3 * samples, _mm512_maskz_mul_ps(in_x1 & in_y1, fx, by));
  const __m512i step = _mm512_set1_epi32(pitch);
  const __m512i start = _mm512_load_si512(lanes.start);
  const __m512i row0 = _mm512_add_epi32(_mm512_mullo_epi32(clamp(y0, height), width), start);
  const __m512i row1 = _mm512_add_epi32(_mm512_mullo_epi32(clamp(y1, height), width), start);
  const __m512i c0 = clamp(x0, width), c1 = clamp(x1, width);
  _mm512_storeu_si512(corners.row, _mm512_mullo_epi32(_mm512_add_epi32(row0, c0), step));
  _mm512_storeu_si512(corners.row + samples, _mm512_mullo_epi32(_mm512_add_epi32(row0, c1), step));
  _mm512_storeu_si512(corners.row + 2 * samples, _mm512_mullo_epi32(_mm512_add_epi32(row1, c0), step));
  _mm512_storeu_si512(corners.row + 3 * samples, _mm512_mullo_epi32(_mm512_add_epi32(row1, c1), step));
}

// out[0 .. 16 V) = sum of weighted rows; two sets of accumulators hide the latency of the additions.
template <int V>
VISAGE_AVX512 inline void sum_rows(const float* value, const Corners& corners, int count, __m512* out) {
  __m512 even[V], odd[V];
  for (int v = 0; v < V; ++v) even[v] = odd[v] = _mm512_setzero_ps();
  for (int k = 0; k < count; k += 2) {
    const float* a = value + corners.row[k];
    const float* b = value + corners.row[k + 1];
    const __m512 wa = _mm512_set1_ps(corners.weight[k]), wb = _mm512_set1_ps(corners.weight[k + 1]);
    for (int v = 0; v < V; ++v) {
      even[v] = _mm512_fmadd_ps(_mm512_loadu_ps(a + v * kLanes), wa, even[v]);
      odd[v] = _mm512_fmadd_ps(_mm512_loadu_ps(b + v * kLanes), wb, odd[v]);
    }
  }
  for (int v = 0; v < V; ++v) out[v] = _mm512_add_ps(even[v], odd[v]);
}

// bf16: one load holds 32 channels; the odd ones are its upper halves, the even ones its lower halves shifted up.
template <int V>
VISAGE_AVX512 inline void sum_rows(const BFloat16* value, const Corners& corners, int count, __m512* out) {
  __m512 even[V / 2], odd[V / 2];
  for (int v = 0; v < V / 2; ++v) even[v] = odd[v] = _mm512_setzero_ps();
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  for (int k = 0; k < count; ++k) {
    const BFloat16* a = value + corners.row[k];
    const __m512 w = _mm512_set1_ps(corners.weight[k]);
    for (int v = 0; v < V / 2; ++v) {
      const __m512i both = _mm512_loadu_si512(a + v * 2 * kLanes);
      even[v] = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(both, 16)), w, even[v]);
      odd[v] = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(both, upper)), w, odd[v]);
    }
  }
  const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
  for (int v = 0; v < V / 2; ++v) {
    out[2 * v] = _mm512_permutex2var_ps(even[v], first, odd[v]);
    out[2 * v + 1] = _mm512_permutex2var_ps(even[v], second, odd[v]);
  }
}

VISAGE_AVX512 void sampling_row(const DeformFusedArgs& args, std::int64_t n, std::int64_t token, int own, float* row) {
  const View& from = args.sampling;
  const std::int64_t columns = from.size[2], at = n * from.stride[0] + token * from.stride[1];
  const std::int64_t place = token - args.level[own].start, width = args.level[own].width;
  const bool tables = static_cast<bool>(args.table_y[0]);
  const float* y = tables ? args.table_y[own].as<float>() + place / width * columns : nullptr;
  const float* x = tables ? args.table_x[own].as<float>() + place % width * columns : nullptr;
  for (std::int64_t i = 0; i < columns; i += kLanes) {
    const std::int64_t left = columns - i;
    const auto used = static_cast<__mmask16>(left >= kLanes ? 0xffff : (1 << left) - 1);
    __m512 z;
    if (from.dtype == DType::f32) {
      z = _mm512_maskz_loadu_ps(used, from.as<float>() + at + i);
    } else {
      const __m256i half = _mm256_maskz_loadu_epi16(used, from.as<BFloat16>() + at + i);
      z = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    }
    if (tables) {
      const __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(used, y + i), _mm512_maskz_loadu_ps(used, x + i));
      z = _mm512_add_ps(z, sum);
    }
    _mm512_mask_storeu_ps(row + i, used, z);
  }
}

template <class Value, int V>
VISAGE_AVX512 void run(const DeformFusedArgs& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t tokens = args.value.size[1], channels = args.value.size[2];
  const int samples = static_cast<int>(args.levels * args.points), heads = static_cast<int>(args.heads);
  std::vector<float> row(args.sampling.size[2]);
  Corners corners;
  Lanes lanes{};
  int prepared = -1;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t n = i / tokens, token = i % tokens;
    int own = static_cast<int>(args.levels) - 1;
    while (token < args.level[own].start) --own;
    if (own != prepared) lanes = lanes_of(args, prepared = own);
    const std::int64_t place = token - args.level[own].start;
    const float column = static_cast<float>(place % args.level[own].width) + 0.5f;
    const float line = static_cast<float>(place / args.level[own].width) + 0.5f;
    sampling_row(args, n, token, own, row.data());
    const Value* value = args.value.as<Value>() + n * args.value.stride[0];
    for (int h = 0; h < heads; ++h) {
      find_corners(lanes, samples, column, line, row.data() + h * samples * 2, row.data() + (heads * 2 + h) * samples,
                   static_cast<std::int32_t>(args.value.stride[1]), corners);
      __m512 out[V];
      sum_rows<V>(value + h * V * kLanes, corners, 4 * samples, out);
      const std::int64_t at = i * channels + h * V * kLanes;
      for (int v = 0; v < V; ++v) {
        if (args.out.dtype == DType::f32)
          _mm512_storeu_ps(args.out.as<float>() + at + v * kLanes, out[v]);
        else
          avx512::store_bf16(args.out.as<BFloat16>() + at + v * kLanes, out[v]);
      }
    }
  }
}

template <int V>
void run_all(const DeformFusedArgs& args) {
  cpu::parallel_for(args.value.size[0] * args.value.size[1], 32, [&](std::int64_t begin, std::int64_t end) {
    if (args.value.dtype == DType::f32) return run<float, V>(args, begin, end);
    if constexpr (V % 2 == 0) run<BFloat16, V>(args, begin, end);
  });
}

}  // namespace

bool deform_attention_fused_fits_avx512(const DeformFusedArgs& args) {
  const std::int64_t dim = args.value.size[2] / args.heads;
  const bool fits_dim = dim == 32 || dim == 64 || (dim == 16 && args.value.dtype == DType::f32);
  return fits_dim && args.levels * args.points <= kLanes && args.value.size[1] * args.value.stride[1] < (1ll << 31);
}

void deform_attention_fused_avx512(const DeformFusedArgs& args) {
  switch (args.value.size[2] / args.heads) {
    case 16: return run_all<1>(args);
    case 32: return run_all<2>(args);
    case 64: return run_all<4>(args);
  }
}

}  // namespace visage::ops
