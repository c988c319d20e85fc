#include "ops/preprocess/network_input.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/preprocess/antialias.h"
#include "ops/preprocess/network_input_kernels.h"
#include "tensor/transfer.h"

#include <algorithm>

namespace visage::ops {
namespace {

Tensor taps_on(Device device, std::int64_t in, std::int64_t out) {
  const AntialiasTaps taps = antialias_taps(in, out);
  const std::int64_t columns = 2 + taps.stride;
  const Tensor table = Tensor::empty({out, columns}, DType::i32);
  for (std::int64_t i = 0; i < out; ++i) {
    auto* const row = table.data<std::int32_t>() + i * columns;
    row[0] = taps.first[i];
    row[1] = taps.count[i];
    std::copy_n(&taps.weights[i * taps.stride], taps.stride, row + 2);
  }
  return to_device(table, device);
}

}  // namespace

InputPlan plan_input(const ImageSize& frame, const ImageSize& image, const ImageSize& padded, Device device) {
  for (const ImageSize& size : {frame, image, padded})
    check<ShapeError>(size.height > 0 && size.width > 0, "network_input: a size is ", size.height, " x ", size.width);
  check<ShapeError>(image.height <= padded.height && image.width <= padded.width, "network_input: the image, ",
                    image.height, " x ", image.width, ", does not fit in the padded input, ", padded.height, " x ",
                    padded.width);
  InputPlan plan{.frame = frame, .image = image, .padded = padded, .columns = {}, .rows = {}};
  if (device.type == DeviceType::cpu) return plan;
  plan.columns = taps_on(device, frame.width, image.width);
  plan.rows = taps_on(device, frame.height, image.height);
  return plan;
}

void network_input(const Tensor& frame, const InputPlan& plan, const Tensor& out) {
  constexpr const char* op = "network_input";
  check<ShapeError>(frame && frame.size() == Dims{plan.frame.height, plan.frame.width, 3} && frame.is_contiguous(), op,
                    ": frame must be contiguous [", plan.frame.height, ", ", plan.frame.width, ", 3]; got ",
                    frame ? frame.size() : Dims{});
  check<ShapeError>(out && out.size() == Dims{plan.padded.height, plan.padded.width, 3} && out.is_contiguous(), op,
                    ": out must be contiguous [", plan.padded.height, ", ", plan.padded.width, ", 3]; got ",
                    out ? out.size() : Dims{});
  check<DTypeError>(frame.dtype() == DType::u8, op, ": frame must be u8; got ", frame.dtype());
  check<DTypeError>(out.dtype() == DType::f32 || out.dtype() == DType::bf16 || out.dtype() == DType::f16, op,
                    ": out must be f32, bf16 or f16; got ", out.dtype());
  const Device device = plan.columns ? plan.columns.device() : Device{};
  check<DeviceError>(frame.device() == device && out.device() == device, op,
                     ": frame and out must be on the device of the plan");
  autograd::not_differentiable(op, {frame});
  const auto view = [](const Tensor& x) { return x ? x.view() : View{}; };
  const network_input_detail::Args args{frame.view(),      view(plan.columns), view(plan.rows),
                                        plan.image.height, plan.image.width,   out.view()};
  on_device(
      device, [&] { network_input_detail::network_input_cpu(args); },
      [&](StreamHandle stream) { network_input_detail::network_input_cuda(args, stream); });
}

}  // namespace visage::ops
