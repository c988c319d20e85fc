#include "ops/position/position.h"

#include "ops/dispatch.h"
#include "ops/position/position_kernels.h"

namespace visage::ops {

PositionTables sine_position_tables(std::int64_t height, std::int64_t width, std::int64_t features, Device device) {
  check<ShapeError>(height > 0 && width > 0 && features > 0 && features % 2 == 0,
                    "sine_position: needs positive sizes and an even number of features; got ", height, " x ", width,
                    ", features ", features);
  PositionTables tables{Tensor::empty({height, features}, DType::f32, device),
                        Tensor::empty({width, features}, DType::f32, device)};
  on_cpu("sine_position", device, [&] {
    sine_axis_cpu(tables.y.view());
    sine_axis_cpu(tables.x.view());
  });
  return tables;
}

Tensor sine_position(std::int64_t height, std::int64_t width, std::int64_t features, Device device) {
  const PositionTables tables = sine_position_tables(height, width, features, device);
  Tensor out = Tensor::empty({height * width, 2 * features}, DType::f32, device);
  on_cpu("sine_position", device, [&] { join_axes_cpu(tables.y.view(), tables.x.view(), out.view()); });
  return out;
}

}  // namespace visage::ops
