#include "ops/optim/moving_average.h"

#include "ops/dispatch.h"
#include "ops/optim/optim_kernels.h"
#include "ops/upload.h"

#include <algorithm>
#include <vector>

namespace visage::ops {

void moving_average(std::span<const Tensor> averages, std::span<const Tensor> values, double decay) {
  check<UsageError>(decay >= 0 && decay <= 1, "moving_average: decay must be from 0 to 1; got ", decay);
  check<ShapeError>(averages.size() == values.size(), "moving_average: one average for each value; got ",
                    averages.size(), " and ", values.size());
  std::vector<AverageSpan> spans;
  for (std::size_t t = 0; t < averages.size(); ++t) {
    const Tensor &average = averages[t], &value = values[t];
    check<ShapeError>(
        average && value && average.size() == value.size() && average.is_contiguous() && value.is_contiguous(),
        "moving_average: tensor ", t, ": average and value must be contiguous and of one size");
    check<DTypeError>(average.dtype() == DType::f32 && value.dtype() == DType::f32, "moving_average: tensor ", t,
                      ": average and value must be f32; got ", average.dtype(), " and ", value.dtype());
    check<DeviceError>(average.device() == averages[0].device() && value.device() == averages[0].device(),
                       "moving_average: tensor ", t, ": averages and values must be on one device");
    for (std::int64_t first = 0; first < average.numel(); first += kOptimChunk)
      spans.push_back(
          {average.data<float>() + first, value.data<float>() + first, std::min(kOptimChunk, average.numel() - first)});
  }
  if (averages.empty()) return;
  const Device device = averages[0].device();
  const auto share = static_cast<float>(1 - decay);
  on_device(
      device, [&] { moving_average_cpu(spans.data(), std::ssize(spans), share); },
      [&](StreamHandle stream) {
        const Tensor list = uploaded(std::span<const AverageSpan>(spans), device);
        moving_average_cuda(list.data<const AverageSpan>(), std::ssize(spans), share, stream);
      });
  for (const Tensor& average : averages) average.storage()->bump_version();
}

}  // namespace visage::ops
