#include "visage/model/precision.h"

#include "tensor/cpu/onednn.h"
#include "tensor/cuda/precision.h"
#include "tensor/error.h"

namespace visage {

const char* name_of(Precision precision) {
  switch (precision) {
    case Precision::f32: return "f32";
    case Precision::tf32: return "tf32";
    case Precision::bf16: return "bf16";
  }
  return "?";
}

DType set_precision(Precision precision, Device device) {
  const bool gpu = device.type == DeviceType::cuda;
  check<UsageError>(gpu || precision != Precision::tf32,
                    "precision tf32: needs a GPU; use precision f32 on this device");
  check<UsageError>(gpu || precision != Precision::bf16 || cpu::onednn::has_fast_bf16(),
                    "precision bf16: this CPU has neither AMX nor AVX-512 bf16 instructions; use precision f32");
  using cuda::MatrixPrecision;
  cuda::set_matrix_precision(precision == Precision::tf32 ? MatrixPrecision::tf32 : MatrixPrecision::f32);
  return precision == Precision::bf16 ? DType::bf16 : DType::f32;
}

}  // namespace visage
