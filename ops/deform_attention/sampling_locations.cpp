#include "ops/deform_attention/sampling_locations.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "tensor/cpu/parallel.h"

namespace visage::ops {
namespace {

// 1 / (width, height) of the level that each of the last axes' numbers refers to.
std::vector<float> inverse_sizes(std::span<const LevelShape> shapes, std::int64_t heads, std::int64_t points) {
  std::vector<float> factors;
  for (std::int64_t head = 0; head < heads; ++head)
    for (const LevelShape& level : shapes)
      for (std::int64_t p = 0; p < points; ++p) {
        factors.push_back(1.f / static_cast<float>(level.width));
        factors.push_back(1.f / static_cast<float>(level.height));
      }
  return factors;
}

// (x, y) of every token's centre, in the unit square of its level.
std::vector<float> token_centres(std::span<const LevelShape> shapes) {
  std::vector<float> centres;
  for (const LevelShape& level : shapes)
    for (std::int64_t y = 0; y < level.height; ++y)
      for (std::int64_t x = 0; x < level.width; ++x) {
        centres.push_back((static_cast<float>(x) + 0.5f) / static_cast<float>(level.width));
        centres.push_back((static_cast<float>(y) + 0.5f) / static_cast<float>(level.height));
      }
  return centres;
}

}  // namespace

Tensor sampling_locations(const Tensor& offsets, std::span<const LevelShape> shapes, std::int64_t heads,
                          std::int64_t points) {
  const auto levels = static_cast<std::int64_t>(shapes.size());
  const std::vector<float> centres = token_centres(shapes);
  const std::vector<float> factors = inverse_sizes(shapes, heads, points);
  const auto length = static_cast<std::int64_t>(centres.size() / 2), width = static_cast<std::int64_t>(factors.size());
  check<ShapeError>(offsets.rank() == 3 && offsets.size(1) == length && offsets.size(2) == width &&
                        offsets.is_contiguous() && offsets.dtype() == DType::f32,
                    "sampling_locations: offsets must be f32 [N, ", length, ", ", width, "]; got ", offsets.size());
  const std::int64_t batch = offsets.size(0);
  Tensor out = Tensor::empty({batch, length, heads, levels, points, 2}, DType::f32, offsets.device());
  on_cpu("sampling_locations", offsets.device(), [&] {
    cpu::parallel_for(batch * length, 64, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const float* from = offsets.data<float>() + row * width;
        float* to = out.data<float>() + row * width;
        const float* centre = centres.data() + row % length * 2;
        for (std::int64_t i = 0; i < width; ++i) to[i] = centre[i % 2] + from[i] * factors[i];
      }
    });
  });
  const Tensor inputs[] = {offsets};
  autograd::record("sampling_locations", inputs, out,
                   [factors, width, rows = batch * length](const Tensor& gy, std::span<const autograd::GradTarget> to) {
                     if (!to[0].needed()) return;
                     const float beta = to[0].beta();
                     float* g = to[0].buffer().data<float>();
                     const float* up = gy.data<float>();
                     for (std::int64_t i = 0; i < rows * width; ++i)
                       g[i] = (beta != 0 ? g[i] : 0.f) + up[i] * factors[i % width];
                     to[0].done();
                   });
  return out;
}

}  // namespace visage::ops
