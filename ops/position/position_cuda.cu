// The tables of the sine position code on the GPU. A few ten thousand elements, made once a size. Compiled for sm_80
// and sm_90 and run on the host against the CPU code; not yet run or timed on a GPU.
#include "ops/position/position_kernels.h"
#include "tensor/cuda/launch.cuh"

namespace visage::ops {
namespace {

constexpr int kThreads = 128;

/// Mapping: a thread owns a sine and the cosine of the same angle. In f64, as on the CPU: the angles must not differ.
__global__ void __launch_bounds__(kThreads) sine_axis_kernel(float* out, std::int64_t count, int features) {
  const std::int64_t index = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  const int pairs = features / 2;
  if (index >= count * pairs) return;
  constexpr double kTemperature = 10000, kEpsilon = 1e-6, kTwoPi = 6.283185307179586;
  const std::int64_t i = index / pairs;
  const int j = 2 * static_cast<int>(index % pairs);
  const double p = kTwoPi * static_cast<double>(i + 1) / (static_cast<double>(count) + kEpsilon);
  const double angle = p / pow(kTemperature, static_cast<double>(j) / features);
  out[i * features + j] = static_cast<float>(sin(angle));
  out[i * features + j + 1] = static_cast<float>(cos(angle));
}

}  // namespace

void sine_axis_cuda(const View& out, StreamHandle stream) {
  const std::int64_t count = out.size[0], features = out.size[1];
  cuda::launch<sine_axis_kernel>({cuda::blocks_for(count * features / 2, kThreads), kThreads, 0, stream},
                                 out.as<float>(), count, static_cast<int>(features));
}

}  // namespace visage::ops
