#include "models/mask2former/plan_tools.h"

#include <cstring>

namespace visage::plan {

Tensor stack_rows(std::span<const Tensor> parts) {
  Dims size = parts[0].size();
  size[0] = 0;
  for (const Tensor& part : parts) size[0] += part.size(0);
  Tensor all = Tensor::empty(size);
  float* out = all.data<float>();
  for (const Tensor& part : parts) {
    std::memcpy(out, part.data<float>(), part.nbytes());
    out += part.numel();
  }
  return all;
}

Tensor columns(const Tensor& matrix, std::int64_t start, std::int64_t count) {
  Tensor result = Tensor::empty({matrix.size(0), count});
  for (std::int64_t r = 0; r < matrix.size(0); ++r)
    std::memcpy(result.data<float>() + r * count, matrix.data<float>() + r * matrix.stride()[0] + start,
                static_cast<std::size_t>(count) * sizeof(float));
  return result;
}

Tensor product(const Tensor& a, const Tensor& b) {
  check<ShapeError>(a.rank() == 2 && b.rank() == 2 && a.size(1) == b.size(0), "product: a ", a.size(), ", b ",
                    b.size());
  Tensor result = Tensor::empty({a.size(0), b.size(1)});
  for (std::int64_t i = 0; i < a.size(0); ++i) {
    for (std::int64_t j = 0; j < b.size(1); ++j) {
      double sum = 0;
      for (std::int64_t k = 0; k < a.size(1); ++k)
        sum += static_cast<double>(a.data<float>()[i * a.size(1) + k]) * b.data<float>()[k * b.size(1) + j];
      result.data<float>()[i * b.size(1) + j] = static_cast<float>(sum);
    }
  }
  return result;
}

Tensor transpose(const Tensor& matrix) {
  Tensor result = Tensor::empty({matrix.size(1), matrix.size(0)});
  for (std::int64_t r = 0; r < matrix.size(0); ++r)
    for (std::int64_t c = 0; c < matrix.size(1); ++c)
      result.data<float>()[c * matrix.size(0) + r] = matrix.data<float>()[r * matrix.size(1) + c];
  return result;
}

}  // namespace visage::plan
