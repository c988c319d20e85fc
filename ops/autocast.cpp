#include "ops/autocast.h"

namespace visage::ops {
namespace {

thread_local DType product_dtype = DType::f32;

}  // namespace

Autocast::Autocast(DType dtype) : outer_(product_dtype) {
  check<DTypeError>(dtype == DType::f32 || dtype == DType::bf16, "autocast: products compute in f32 or bf16; got ",
                    dtype);
  product_dtype = dtype;
}

Autocast::~Autocast() { product_dtype = outer_; }

DType autocast_dtype() { return product_dtype; }

}  // namespace visage::ops
