#include "visage/profile/ceilings.h"

#include "nn/init/test_weights.h"
#include "ops/elementwise/elementwise.h"
#include "ops/linear/linear.h"
#include "tensor/cpu/parallel.h"
#include "tensor/recorder.h"
#include "tensor/transfer.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

namespace visage::profile {
namespace {

constexpr int kRepeats = 5;

// Seconds of the fastest of a few runs, by the clock of the device; one more to warm up.
template <class F>
double best_seconds(Device device, F&& run) {
  Recorder recorder(device);
  for (int i = 0; i <= kRepeats; ++i) {
    recorder.begin(Span::Kind::stage, "run");
    run();
    recorder.end();
  }
  double best = std::numeric_limits<double>::infinity();
  const std::vector<Span> spans = recorder.spans();
  for (const Span& span : spans)
    if (span.parent < 0 && &span != &spans.front()) best = std::min(best, span.seconds);
  return best;
}

// Numbers that are not zero: hardware is faster on zeros.
Tensor numbers(const Dims& size, Device device) {
  Tensor x = Tensor::empty(size);
  const nn::HashStream stream("ceilings");
  for (std::int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = stream.uniform(i % 65521) - 0.5f;
  return to_device(x, device);
}

}  // namespace

double copy_bandwidth(Device device) {
  constexpr std::int64_t kBytes = std::int64_t{1} << 28;  // beyond any cache
  const Tensor from = numbers({kBytes / 4}, device);
  const Tensor to = Tensor::empty(from.size(), from.dtype(), device);
  const double seconds = best_seconds(device, [&] {
    if (device.type == DeviceType::cuda) return copy_into(to, from);
    auto* const target = reinterpret_cast<char*>(to.data<float>());
    const auto* const source = reinterpret_cast<const char*>(from.data<float>());
    cpu::parallel_for(kBytes, 1 << 20, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(target + begin, source + begin, static_cast<std::size_t>(end - begin));
    });
  });
  return 2 * static_cast<double>(kBytes) / seconds;
}

double product_rate(Device device, DType products) {
  const std::int64_t n = device.type == DeviceType::cuda ? 8192 : 1536;
  const Tensor x = numbers({n, n}, device), weight = numbers({n, n}, device);
  const Tensor rounded = products == DType::f32 ? x : ops::cast(x, products);
  const auto cube = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  return 2 * cube / best_seconds(device, [&] { (void)ops::linear(rounded, weight, {}, {.dtype = products}); });
}

Ceilings measure_ceilings(Device device, DType products) {
  return {copy_bandwidth(device), product_rate(device, products), products};
}

}  // namespace visage::profile
