#include "visage/model/precision.h"

#include "tensor/cpu/onednn.h"
#include "tensor/error.h"

namespace visage {

DType product_dtype(Precision precision, Device device) {
  check<UsageError>(precision == Precision::f32 || device.type == DeviceType::cuda || cpu::onednn::has_fast_bf16(),
                    "precision bf16: this CPU has neither AMX nor AVX-512 bf16 instructions; use precision f32");
  return precision == Precision::f32 ? DType::f32 : DType::bf16;
}

}  // namespace visage
