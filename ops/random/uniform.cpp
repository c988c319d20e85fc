#include "ops/random/uniform.h"

#include "ops/dispatch.h"
#include "ops/random/uniform_kernels.h"

namespace visage::ops {

Tensor uniform(std::span<const std::uint64_t> starts, const Dims& size, Device device) {
  const std::int64_t count = std::ssize(starts);
  check<ShapeError>(size.rank > 0 && count > 0 && size[0] % count == 0, "uniform: ", size, " cannot be cut into ",
                    count, " equal parts");
  Tensor y = Tensor::empty(size, DType::f32, device);
  const UniformArgs args{starts.data(), count, y.view()};
  note_work(0, y);
  on_device(
      device, [&] { uniform_cpu(args); }, [&](StreamHandle stream) { uniform_cuda(args, stream); });
  return y;
}

}  // namespace visage::ops
