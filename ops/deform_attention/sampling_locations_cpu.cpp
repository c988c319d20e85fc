#include "ops/deform_attention/sampling_locations_kernels.h"
#include "tensor/cpu/parallel.h"

#include <vector>

namespace visage::ops {
namespace {

// 1 / (width, height) of the level that each column refers to.
std::vector<float> inverse_sizes(const SamplingLocationsArgs& args) {
  std::vector<float> factors(args.columns);
  for (std::int64_t i = 0; i < args.columns; ++i) {
    const DeformLevel& level = args.level[i / 2 / args.points % args.levels];
    factors[i] = 1.f / static_cast<float>(i % 2 ? level.height : level.width);
  }
  return factors;
}

}  // namespace

void sampling_locations_cpu(const SamplingLocationsArgs& args) {
  const std::vector<float> factors = inverse_sizes(args);
  const DeformLevel& last = args.level[args.levels - 1];
  const std::int64_t length = last.start + last.height * last.width;
  cpu::parallel_for(args.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t token = row % length;
      const DeformLevel* own = &last;
      while (token < own->start) --own;
      const std::int64_t y = (token - own->start) / own->width, x = (token - own->start) % own->width;
      const float centre[] = {(static_cast<float>(x) + 0.5f) / static_cast<float>(own->width),
                              (static_cast<float>(y) + 0.5f) / static_cast<float>(own->height)};
      const float* from = args.from.as<float>() + row * args.columns;
      float* to = args.to.to.as<float>() + row * args.columns;
      for (std::int64_t i = 0; i < args.columns; ++i) to[i] = centre[i % 2] + from[i] * factors[i];
    }
  });
}

void sampling_locations_backward_cpu(const SamplingLocationsArgs& args) {
  const std::vector<float> factors = inverse_sizes(args);
  cpu::parallel_for(args.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t i = 0; i < args.columns; ++i)
        args.to.put(row * args.columns + i, args.from.as<float>()[row * args.columns + i] * factors[i]);
  });
}

}  // namespace visage::ops
