#include "ops/random/uniform.h"

#include "ops/dispatch.h"
#include "ops/random/uniform_kernels.h"

namespace visage::ops {

Tensor uniform(std::uint64_t start, const Dims& size, Device device) {
  Tensor y = Tensor::empty(size, DType::f32, device);
  note_work(0, y);
  on_device(
      device, [&] { uniform_cpu(start, y.view()); },
      [&](StreamHandle stream) { uniform_cuda(start, y.view(), stream); });
  return y;
}

}  // namespace visage::ops
