#include "ops/deform_attention/deform_attention_kernels.h"
#include "ops/deform_attention/head_dim.h"
#include "tensor/cpu/parallel.h"
#include "tensor/float16.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace visage::ops {
namespace {

// sum[c] += weight * the bilinear value at pixel (x, y) of one level; `base` is the level's first row of the head.
template <class T>
[[gnu::always_inline]] inline void gather(const T* base, std::int64_t pitch, const DeformLevel& level, float x, float y,
                                          float weight, float* sum, std::int64_t dim) {
  // Far or undefined positions become one that reads nothing, before they are converted to integers.
  const float width = static_cast<float>(level.width), height = static_cast<float>(level.height);
  if (!(x > -1.f && x < width && y > -1.f && y < height)) return;
  const float left = std::floor(x), top = std::floor(y);
  const float fx = x - left, fy = y - top;
  const auto x0 = static_cast<std::int64_t>(left), y0 = static_cast<std::int64_t>(top);
  for (int corner = 0; corner < 4; ++corner) {
    const std::int64_t px = x0 + (corner & 1), py = y0 + (corner >> 1);
    if (px < 0 || px >= level.width || py < 0 || py >= level.height) continue;
    const float w = weight * (corner & 1 ? fx : 1 - fx) * (corner >> 1 ? fy : 1 - fy);
    const T* from = base + (py * level.width + px) * pitch;
    for (std::int64_t c = 0; c < dim; ++c) sum[c] += w * static_cast<float>(from[c]);
  }
}

void softmax(float* x, std::int64_t count) {
  const float top = *std::max_element(x, x + count);
  float sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += x[i] = std::exp(x[i] - top);
  for (std::int64_t i = 0; i < count; ++i) x[i] /= sum;
}

// row = the sampling row of a token plus its two table rows, in f32.
template <class T>
void sampling_row(const DeformFusedArgs& args, std::int64_t n, std::int64_t token, int level, float* row) {
  const std::int64_t columns = args.sampling.size[2];
  const T* from = args.sampling.as<T>() + n * args.sampling.stride[0] + token * args.sampling.stride[1];
  for (std::int64_t i = 0; i < columns; ++i) row[i] = static_cast<float>(from[i]);
  if (!args.table_y[0]) return;
  const std::int64_t place = token - args.level[level].start;
  const float* y = args.table_y[level].as<float>() + place / args.level[level].width * columns;
  const float* x = args.table_x[level].as<float>() + place % args.level[level].width * columns;
  for (std::int64_t i = 0; i < columns; ++i) row[i] += y[i] + x[i];
}

// The attention of one token; `row` holds its offsets and logits, `out` heads * dim sums.
template <class T>
void attend(const DeformFusedArgs& args, std::int64_t n, std::int64_t token, int own, float* row, float* out) {
  const std::int64_t samples = args.levels * args.points, dim = args.value.size[2] / args.heads;
  const std::int64_t pitch = args.value.stride[1];
  const DeformLevel& level = args.level[own];
  const float column = static_cast<float>((token - level.start) % level.width) + 0.5f;
  const float line = static_cast<float>((token - level.start) / level.width) + 0.5f;
  std::fill_n(out, args.heads * dim, 0.f);
  for (std::int64_t h = 0; h < args.heads; ++h) {
    const float* offset = row + h * samples * 2;
    float* weight = row + (args.heads * 2 + h) * samples;
    softmax(weight, samples);
    for (std::int64_t s = 0; s < samples; ++s) {
      const DeformLevel& to = args.level[s / args.points];
      const float ratio_x = static_cast<float>(to.width) / static_cast<float>(level.width);
      const float ratio_y = static_cast<float>(to.height) / static_cast<float>(level.height);
      const T* base = args.value.as<T>() + n * args.value.stride[0] + to.start * pitch + h * dim;
      gather(base, pitch, to, column * ratio_x - 0.5f + offset[2 * s], line * ratio_y - 0.5f + offset[2 * s + 1],
             weight[s], out + h * dim, dim);
    }
  }
}

template <class Value, class Sampling, class Out>
void fused(const DeformFusedArgs& args) {
  const std::int64_t tokens = args.value.size[1], channels = args.value.size[2];
  cpu::parallel_for(args.value.size[0] * tokens, 32, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> row(args.sampling.size[2]), sum(channels);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / tokens, token = i % tokens;
      int own = static_cast<int>(args.levels) - 1;
      while (token < args.level[own].start) --own;
      sampling_row<Sampling>(args, n, token, own, row.data());
      attend<Value>(args, n, token, own, row.data(), sum.data());
      Out* to = args.out.as<Out>() + i * channels;
      for (std::int64_t c = 0; c < channels; ++c) store(to[c], sum[c]);
    }
  });
}

template <class Value, class Sampling>
void fused_to(const DeformFusedArgs& args) {
  if (args.out.dtype == DType::f32)
    fused<Value, Sampling, float>(args);
  else
    fused<Value, Sampling, BFloat16>(args);
}

template <class Value>
void fused_from(const DeformFusedArgs& args) {
  if (args.sampling.dtype == DType::f32)
    fused_to<Value, float>(args);
  else
    fused_to<Value, BFloat16>(args);
}

// kDim 0: the size of a head is known at run time only.
template <int kDim>
void attend_queries(const DeformAttentionArgs& args) {
  const std::int64_t queries = args.weights.size[1], heads = args.weights.size[2];
  const std::int64_t levels = args.weights.size[3], points = args.weights.size[4];
  const std::int64_t tokens = args.value.size[1], dim = kDim ? kDim : args.value.size[3];
  cpu::parallel_for(args.value.size[0] * queries * heads, 64, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> buffer(kDim ? 0 : dim);
    float registers[kDim ? kDim : 1];
    float* const sum = kDim ? registers : buffer.data();
    for (std::int64_t i = begin; i < end; ++i) {  // i = (n, query, head)
      const std::int64_t n = i / (queries * heads), head = i % heads;
      std::fill_n(sum, dim, 0.f);
      for (std::int64_t s = 0; s < levels * points; ++s) {
        const DeformLevel& level = args.level[s / points];
        const float* place = args.locations.as<float>() + (i * levels * points + s) * 2;
        const float* base = args.value.as<float>() + ((n * tokens + level.start) * heads + head) * dim;
        gather(base, heads * dim, level, place[0] * static_cast<float>(level.width) - 0.5f,
               place[1] * static_cast<float>(level.height) - 0.5f, args.weights.as<float>()[i * levels * points + s],
               sum, dim);
      }
      std::copy_n(sum, dim, args.out.as<float>() + i * dim);
    }
  });
}

}  // namespace

void deform_attention_fused_cpu(const DeformFusedArgs& args) {
  if (args.value.dtype == DType::f32)
    fused_from<float>(args);
  else
    fused_from<BFloat16>(args);
}

void deform_attention_cpu(const DeformAttentionArgs& args) {
  for_head_dim(args.value.size[3], [&]<int kDim>(std::integral_constant<int, kDim>) { attend_queries<kDim>(args); });
}

}  // namespace visage::ops
