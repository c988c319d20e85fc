#include "ops/position/position.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_kernels.h"
#include "ops/position/position_kernels.h"

namespace visage::ops {

PositionTables sine_position_tables(std::int64_t height, std::int64_t width, std::int64_t features, Device device) {
  check<ShapeError>(height > 0 && width > 0 && features > 0 && features % 2 == 0,
                    "sine_position: needs positive sizes and an even number of features; got ", height, " x ", width,
                    ", features ", features);
  PositionTables tables{Tensor::empty({height, features}, DType::f32, device),
                        Tensor::empty({width, features}, DType::f32, device)};
  for (const Tensor& axis : {tables.y, tables.x}) {
    on_device(
        device, [&] { sine_axis_cpu(axis.view()); }, [&](StreamHandle stream) { sine_axis_cuda(axis.view(), stream); });
  }
  return tables;
}

Tensor sine_position(std::int64_t height, std::int64_t width, std::int64_t features, Device device) {
  const PositionTables tables = sine_position_tables(height, width, features, device);
  Tensor out = Tensor::empty({height * width, 2 * features}, DType::f32, device);
  on_device(
      device, [&] { join_axes_cpu(tables.y.view(), tables.x.view(), out.view()); },
      [&](StreamHandle stream) {
        // Each table into its half of the channels, repeated along the other axis.
        const Dims half{height, width, features}, stride{width * 2 * features, 2 * features, 1};
        const Tensor y = Tensor::alias(tables.y, half, {features, 0, 1}),
                     x = Tensor::alias(tables.x, half, {0, features, 1});
        const Tensor to_y = Tensor::alias(out, half, stride), to_x = Tensor::alias(out, half, stride, features);
        gradient_detail::accumulate_cuda({y.view(), {to_y.view(), 0}}, stream);
        gradient_detail::accumulate_cuda({x.view(), {to_x.view(), 0}}, stream);
      });
  return out;
}

}  // namespace visage::ops
