#include "tests/support/same_on_devices.h"

#include "autograd/tape.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

#include <cmath>

namespace visage::test {
namespace {

/// Outputs, then the gradients after one and after two backward passes.
std::vector<Tensor> run(const TensorFunction& fn, const std::vector<Tensor>& inputs,
                        const SameOnDevicesOptions& options, Device device) {
  std::vector<Tensor> given;
  for (const Tensor& input : inputs) {
    given.push_back(input ? autograd::detach(on(input, device)) : Tensor{});
  }
  if (options.gradients_of.empty()) return fn(given);
  for (const std::size_t i : options.gradients_of) autograd::set_requires_grad(given[i]);
  std::vector<Tensor> results;
  for (int pass = 0; pass < 2; ++pass) {
    autograd::Tape tape;
    const std::vector<Tensor> outputs = fn(given);
    const Tensor& first = outputs.at(0);
    if (pass == 0) {
      for (const Tensor& output : outputs) results.push_back(autograd::detach(output));
    }
    tape.backward(first, on(random_normal(first.size(), options.seed + 1, first.dtype()), device));
    for (const std::size_t i : options.gradients_of) {
      const Tensor gradient = autograd::grad(given[i]);
      // A copy: the second pass adds to the same buffer.
      results.push_back(gradient ? tensor_of(gradient.size(), values_of(gradient), gradient.dtype()) : Tensor{});
    }
  }
  return results;
}

testing::AssertionResult same(const Tensor& expected, const Tensor& actual, double tolerance) {
  if (static_cast<bool>(expected) != static_cast<bool>(actual)) {
    return testing::AssertionFailure() << (expected ? "missing on the GPU" : "only there on the GPU");
  }
  if (!expected) return testing::AssertionSuccess();
  if (expected.size() != actual.size() || expected.dtype() != actual.dtype()) {
    return testing::AssertionFailure() << "size " << actual.size() << ' ' << name_of(actual.dtype()) << ", on the CPU "
                                       << expected.size() << ' ' << name_of(expected.dtype());
  }
  const bool exact =
      expected.dtype() != DType::f32 && expected.dtype() != DType::bf16 && expected.dtype() != DType::f16;
  const std::vector<double> a = values_of(expected), b = values_of(actual);
  double largest = 0;
  for (const double value : a)
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  const double allowed = exact ? 0 : tolerance * largest + 1e-12;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])) || std::abs(a[i] - b[i]) <= allowed) continue;
    return testing::AssertionFailure() << "element " << i << ": " << b[i] << ", on the CPU " << a[i]
                                       << "; largest magnitude " << largest << ", allowed difference " << allowed;
  }
  return testing::AssertionSuccess();
}

}  // namespace

testing::AssertionResult same_on_devices(const TensorFunction& fn, const std::vector<Tensor>& inputs,
                                         const SameOnDevicesOptions& options) {
  auto result = testing::AssertionSuccess();
  std::vector<Tensor> expected;
  for_each_device([&](Device device) {
    if (!result) return;
    const std::vector<Tensor> results = run(fn, inputs, options, device);
    if (device.type == DeviceType::cpu) {
      expected = results;
      return;
    }
    const std::size_t gradients = options.gradients_of.size(), outputs = expected.size() - 2 * gradients;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const bool is_output = i < outputs;
      result = same(expected[i], results.at(i), is_output ? options.output_tolerance : options.gradient_tolerance);
      if (result) continue;
      if (is_output)
        result << "; output " << i;
      else
        result << "; gradient of input " << options.gradients_of[(i - outputs) % gradients] << ", backward pass "
               << (i - outputs) / gradients + 1;
      return;
    }
  });
  return result;
}

}  // namespace visage::test
