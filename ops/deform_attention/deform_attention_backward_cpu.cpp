// A task owns one head of one image, so every element of the value's gradient has one writer and its terms are added in
// the order of the queries: the result does not depend on the number of threads. They are added in a buffer without the
// gaps of the other heads, which stays in the cache.
#include "ops/deform_attention/deform_attention_kernels.h"
#include "ops/deform_attention/head_dim.h"
#include "ops/point_sample/corners.h"
#include "tensor/cpu/parallel.h"

#include <algorithm>
#include <vector>

namespace visage::ops {
namespace {

float dot(const float* a, const float* b, std::int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

void add_scaled(float factor, const float* from, float* to, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) to[i] += factor * from[i];
}

// kDim 0: the size of a head is known at run time only.
template <int kDim>
struct Head {
  const DeformBackwardArgs& args;
  std::int64_t n, head;
  float* gvalue;  // [L,dim] of this head, when wanted
  std::int64_t tokens = args.value.size[1], heads = args.value.size[2], dim = kDim ? kDim : args.value.size[3];
  std::int64_t queries = args.weights.size[1], levels = args.weights.size[3], points = args.weights.size[4];

  std::int64_t token_at(std::int64_t token) const { return ((n * tokens + token) * heads + head) * dim; }

  // Sample i of a query whose output has gradient g.
  void sample(const float* g, const DeformLevel& level, std::int64_t i) const {
    const float* place = args.locations.as<float>() + 2 * i;
    const float weight = args.weights.as<float>()[i];
    const float width = static_cast<float>(level.width), height = static_cast<float>(level.height);
    float at[4] = {};  // g . value of each corner
    float sum = 0;
    Corners corners{};
    if (find_corners(place[0] * width - 0.5f, place[1] * height - 0.5f, level.height, level.width, corners)) {
      for (int c = 0; c < 4; ++c) {
        if (corners.pixel[c] < 0) continue;
        const std::int64_t token = level.start + corners.pixel[c];
        at[c] = dot(g, args.value.as<float>() + token_at(token), dim);
        sum += corners.weight(c) * at[c];
        if (args.gvalue) add_scaled(weight * corners.weight(c), g, gvalue + token * dim, dim);
      }
    }
    if (args.gweights) args.gweights.put(i, sum);
    if (!args.glocations) return;
    args.glocations.put(2 * i, weight * width * corners.slope_x(at));
    args.glocations.put(2 * i + 1, weight * height * corners.slope_y(at));
  }

  void run() const {
    if (args.gvalue) std::fill_n(gvalue, tokens * dim, 0.f);
    for (std::int64_t q = 0; q < queries; ++q) {
      const std::int64_t row = (n * queries + q) * heads + head;
      const float* g = args.gout.as<float>() + row * dim;
      for (std::int64_t s = 0; s < levels * points; ++s) sample(g, args.level[s / points], row * levels * points + s);
    }
    for (std::int64_t t = 0; args.gvalue && t < tokens; ++t)
      for (std::int64_t d = 0; d < dim; ++d) args.gvalue.put(token_at(t) + d, gvalue[t * dim + d]);
  }
};

template <int kDim>
void run_heads(const DeformBackwardArgs& args) {
  const std::int64_t heads = args.value.size[2];
  cpu::parallel_for(args.value.size[0] * heads, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> gvalue(args.gvalue ? args.value.size[1] * args.value.size[3] : 0);
    for (std::int64_t i = begin; i < end; ++i) Head<kDim>{args, i / heads, i % heads, gvalue.data()}.run();
  });
}

}  // namespace

void deform_attention_backward_cpu(const DeformBackwardArgs& args) {
  for_head_dim(args.value.size[3], [&]<int kDim>(std::integral_constant<int, kDim>) { run_heads<kDim>(args); });
}

}  // namespace visage::ops
