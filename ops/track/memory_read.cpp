#include "ops/track/memory_read.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/track/memory_read_kernels.h"

namespace visage::ops {

Tensor memory_read(const Tensor& bank, const Tensor& weights) {
  check<ShapeError>(bank && bank.rank() == 3 && bank.is_contiguous(),
                    "memory_read: bank must be contiguous [W,K,D]; got ", bank ? bank.size() : Dims{});
  check<ShapeError>(weights && weights.is_contiguous() && weights.size() == Dims{bank.size(0), bank.size(1)},
                    "memory_read: weights must be contiguous [W,K] of bank ", bank.size(), "; got ",
                    weights ? weights.size() : Dims{});
  check<DTypeError>(bank.dtype() == DType::f32 && weights.dtype() == DType::f32,
                    "memory_read: bank and weights must be f32; got ", bank.dtype(), " and ", weights.dtype());
  check<DeviceError>(bank.device() == weights.device(), "memory_read: inputs must be on one device");
  autograd::not_differentiable("memory_read", {bank, weights});
  Tensor out = Tensor::empty({bank.size(1), bank.size(2)}, DType::f32, bank.device());
  const MemoryReadArgs args{.bank = bank.view(), .weights = weights.view(), .out = out.view()};
  note_work(2.0 * static_cast<double>(bank.numel()), bank, weights, out);
  on_device(
      bank.device(), [&] { memory_read_cpu(args); }, [&](StreamHandle stream) { memory_read_cuda(args, stream); });
  return out;
}

}  // namespace visage::ops
