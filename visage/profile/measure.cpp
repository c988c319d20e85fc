#include "visage/profile/measure.h"

#include "tensor/error.h"

#include <chrono>

#ifdef VISAGE_CUDA
#include "tensor/cuda/stream.h"
#endif

namespace visage::profile {
namespace {

void wait_for([[maybe_unused]] Device device) {
#ifdef VISAGE_CUDA
  if (device.type == DeviceType::cuda) cuda::synchronize(cuda::current_stream());
#endif
}

}  // namespace

Measurement measure(const MeasureOptions& options, const std::function<void()>& next) {
  check<UsageError>(options.warmup >= 0 && options.repeats >= 1,
                    "a profile needs at least one measured repetition and no fewer than 0 before it; got ",
                    options.repeats, " and ", options.warmup);
  const auto run = [&] {
    next();
    wait_for(options.device);
  };
  Measurement result{.unit = options.unit, .device = options.device};
  for (int i = 0; i < options.warmup; ++i) run();
  for (int i = 0; i < options.repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    result.latencies.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  Recorder recorder(options.device);
  for (int i = 0; i < options.repeats; ++i) {
    recorder.begin(Span::Kind::stage, options.unit);
    run();
    recorder.end();
  }
  result.spans = recorder.spans();
  return result;
}

}  // namespace visage::profile
