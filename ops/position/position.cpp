#include "ops/position/position.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_kernels.h"
#include "ops/position/position_kernels.h"
#include "ops/shape/views.h"

namespace visage::ops {

namespace {

// to = from, or to + from.
enum class Put : std::uint8_t { over, on_top };
void put(const Tensor& from, const Tensor& to, Put how) {
  const gradient_detail::Accumulate args{from.view(), {to.view(), how == Put::over ? 0.f : 1.f}};
  on_device(
      to.device(), [&] { gradient_detail::accumulate_cpu(args); },
      [&](StreamHandle stream) { gradient_detail::accumulate_cuda(args, stream); });
}

// The code of the pixels of a frame for each of `frames` frames, [frames, H*W, 2 * features].
Tensor repeated_code(std::int64_t frames, std::int64_t height, std::int64_t width, std::int64_t features,
                     Device device) {
  const PositionTables tables = sine_position_tables(height, width, features, device);
  const std::int64_t channels = 2 * features;
  const Tensor out = Tensor::empty({frames, height * width, channels}, DType::f32, device);
  // Each table goes into its half of the channels, repeated along the other axes.
  const Dims half{frames, height, width, features}, stride{height * width * channels, width * channels, channels, 1};
  put(Tensor::alias(tables.y, half, {0, features, 0, 1}), Tensor::alias(out, half, stride), Put::over);
  put(Tensor::alias(tables.x, half, {0, 0, features, 1}), Tensor::alias(out, half, stride, features), Put::over);
  return out;
}

}  // namespace

Tensor sine_axis(std::int64_t length, std::int64_t features, Device device) {
  check<ShapeError>(length > 0 && features > 0 && features % 2 == 0,
                    "sine_axis: needs a positive length and an even number of features; got ", length, " and ",
                    features);
  const Tensor axis = Tensor::empty({length, features}, DType::f32, device);
  on_device(
      device, [&] { sine_axis_cpu(axis.view()); }, [&](StreamHandle stream) { sine_axis_cuda(axis.view(), stream); });
  return axis;
}

PositionTables sine_position_tables(std::int64_t height, std::int64_t width, std::int64_t features, Device device) {
  return {sine_axis(height, features, device), sine_axis(width, features, device)};
}

Tensor sine_position(std::int64_t height, std::int64_t width, std::int64_t features, Device device) {
  return reshape(repeated_code(1, height, width, features, device), {height * width, 2 * features});
}

Tensor sine_position_3d(std::int64_t frames, std::int64_t height, std::int64_t width, std::int64_t features,
                        Device device) {
  check<ShapeError>(frames > 0, "sine_position_3d: needs a frame; got ", frames);
  const Tensor out = repeated_code(frames, height, width, features, device);
  const std::int64_t channels = 2 * features;
  put(Tensor::alias(sine_axis(frames, channels, device), out.size(), {channels, 0, 1}), out, Put::on_top);
  return reshape(out, {frames * height * width, channels});
}

}  // namespace visage::ops
