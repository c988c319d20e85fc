#include "models/mask2former/plan_tools.h"

#include "ops/shape/concatenate.h"
#include "ops/shape/views.h"
#include "tensor/transfer.h"

namespace visage::plan {

Tensor columns(const Tensor& matrix, std::int64_t start, std::int64_t count) {
  return ops::concatenate({ops::narrow(matrix, 1, start, count)}, 1);
}

Tensor product(const Tensor& a, const Tensor& b) {
  check<ShapeError>(a.rank() == 2 && b.rank() == 2 && a.size(1) == b.size(0), "product: a ", a.size(), ", b ",
                    b.size());
  const Tensor left = to_device(a, {}), right = to_device(b, {});
  Tensor result = Tensor::empty({a.size(0), b.size(1)}, DType::f32, a.device());
  write_from_host(result, [&](const Tensor& host) {
    for (std::int64_t i = 0; i < a.size(0); ++i) {
      for (std::int64_t j = 0; j < b.size(1); ++j) {
        double sum = 0;
        for (std::int64_t k = 0; k < a.size(1); ++k)
          sum += static_cast<double>(left.data<float>()[i * a.size(1) + k]) * right.data<float>()[k * b.size(1) + j];
        host.data<float>()[i * b.size(1) + j] = static_cast<float>(sum);
      }
    }
  });
  return result;
}

}  // namespace visage::plan
