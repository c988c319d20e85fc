#include "tests/support/values.h"

#include "tensor/float16.h"
#include "tests/support/devices.h"

#include <cmath>
#include <numbers>

namespace visage::test {
namespace {

double load(const View& view, std::int64_t index) {
  switch (view.dtype) {
    case DType::f32: return view.as<float>()[index];
    case DType::f16: return static_cast<double>(view.as<Half>()[index]);
    case DType::bf16: return static_cast<float>(view.as<BFloat16>()[index]);
    case DType::f64: return view.as<double>()[index];
    case DType::i32: return view.as<std::int32_t>()[index];
    case DType::i64: return static_cast<double>(view.as<std::int64_t>()[index]);
    case DType::u8:
    case DType::boolean: return view.as<std::uint8_t>()[index];
  }
  return 0;
}

void store(const View& view, std::int64_t index, double value) {
  switch (view.dtype) {
    case DType::f32: view.as<float>()[index] = static_cast<float>(value); return;
    case DType::f16: view.as<Half>()[index] = static_cast<Half>(value); return;
    case DType::bf16: view.as<BFloat16>()[index] = BFloat16(static_cast<float>(value)); return;
    case DType::f64: view.as<double>()[index] = value; return;
    case DType::i32: view.as<std::int32_t>()[index] = static_cast<std::int32_t>(value); return;
    case DType::i64: view.as<std::int64_t>()[index] = static_cast<std::int64_t>(value); return;
    case DType::u8:
    case DType::boolean: view.as<std::uint8_t>()[index] = static_cast<std::uint8_t>(value); return;
  }
}

/// splitmix64: the generator needs no state, so element i never depends on how many came before it.
double uniform(std::uint64_t counter) {
  std::uint64_t z = counter * 0x9e3779b97f4a7c15u + 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (static_cast<double>((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
}

}  // namespace

std::vector<double> values_of(const Tensor& tensor) {
  if (tensor.device().type != DeviceType::cpu) return values_of(on(tensor, Device{}));
  const View view = tensor.view();
  std::vector<double> values(static_cast<std::size_t>(tensor.numel()));
  Dims index = view.size;
  for (int i = 0; i < index.rank; ++i) index[i] = 0;
  for (double& value : values) {
    std::int64_t offset = 0;
    for (int i = 0; i < index.rank; ++i) offset += index[i] * view.stride[i];
    value = load(view, offset);
    for (int i = index.rank; i-- > 0;) {
      if (++index[i] < view.size[i]) break;
      index[i] = 0;
    }
  }
  return values;
}

Tensor tensor_of(const Dims& size, std::span<const double> values, DType dtype) {
  check<ShapeError>(size.numel() == static_cast<std::int64_t>(values.size()), "tensor_of: ", values.size(),
                    " values for ", size);
  Tensor result = Tensor::empty(size, dtype);
  for (std::size_t i = 0; i < values.size(); ++i) store(result.view(), static_cast<std::int64_t>(i), values[i]);
  return result;
}

Tensor random_normal(const Dims& size, std::uint64_t seed, DType dtype, double mean, double deviation) {
  std::vector<double> values(static_cast<std::size_t>(size.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint64_t counter = (seed << 40) + 2 * i;
    const double radius = std::sqrt(-2 * std::log(uniform(counter)));
    values[i] = mean + deviation * radius * std::cos(2 * std::numbers::pi * uniform(counter + 1));
  }
  return tensor_of(size, values, dtype);
}

Tensor converted(const Tensor& x, DType dtype) { return on(tensor_of(x.size(), values_of(x), dtype), x.device()); }

}  // namespace visage::test
