#include "tests/support/gradcheck.h"

#include "autograd/tape.h"
#include "tests/support/allclose.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

#include <algorithm>
#include <cmath>

namespace visage::test {
namespace {

using Function = std::function<Tensor(std::span<const Tensor>)>;

/// The same elements without gradient history.
Tensor detached(const Tensor& x) { return Tensor::alias(x, x.size(), x.stride()); }

std::vector<Tensor> prepared(const std::vector<Tensor>& inputs, const std::vector<bool>& wanted) {
  std::vector<Tensor> result;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    result.push_back(inputs[i] ? detached(inputs[i]) : Tensor{});
    if (wanted[i]) autograd::set_requires_grad(result.back());
  }
  return result;
}

void run_backward(const Function& fn, const std::vector<Tensor>& inputs, const Tensor& up) {
  autograd::Tape tape;
  tape.backward(fn(inputs), up);
}

class Checker {
 public:
  Checker(const Function& fn, const std::vector<Tensor>& inputs, const GradcheckOptions& options)
      : fn_(fn), inputs_(inputs), options_(options), wanted_(inputs.size()) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const auto& chosen = options.with_respect_to;
      wanted_[i] = inputs[i] && (chosen.empty() ? inputs[i].dtype() == DType::f32
                                                : std::find(chosen.begin(), chosen.end(), i) != chosen.end());
    }
    const Tensor y = fn(inputs);
    up_ = on(random_normal(y.size(), options.seed + 1, y.dtype()), y.device());
    up_values_ = values_of(up_);
  }

  testing::AssertionResult run() {
    analytic_ = gradients(fn_, inputs_, wanted_, up_);
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (!wanted_[i]) continue;
      if (!analytic_[i]) return testing::AssertionFailure() << "input " << i << ": no gradient was written";
      const bool small = inputs_[i].numel() <= options_.element_limit;
      if (const auto result = small ? check_elements(i) : check_directions(i); !result) return result;
      if (const auto result = check_alone(i); !result) return result;
    }
    return check_accumulation();
  }

 private:
  /// sum(up * fn(inputs with input i replaced by values + step * direction))
  double loss(std::size_t i, std::vector<double> values, const std::vector<double>& direction, double step) const {
    for (std::size_t e = 0; e < values.size(); ++e) values[e] += step * direction[e];
    std::vector<Tensor> inputs = inputs_;
    inputs[i] = on(tensor_of(inputs_[i].size(), values, inputs_[i].dtype()), inputs_[i].device());
    const std::vector<double> y = values_of(fn_(inputs));
    double sum = 0;
    for (std::size_t e = 0; e < y.size(); ++e) sum += up_values_[e] * y[e];
    return sum;
  }

  double numeric(std::size_t i, const std::vector<double>& values, const std::vector<double>& direction) const {
    const double h = options_.step;
    const auto at = [&](double step) { return loss(i, values, direction, step); };
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
  }

  testing::AssertionResult check_elements(std::size_t i) const {
    const std::vector<double> values = values_of(inputs_[i]);
    const std::vector<double> gradient = values_of(analytic_[i]);
    std::vector<double> expected(values.size());
    std::vector<double> direction(values.size());
    double largest = 0;
    for (std::size_t e = 0; e < values.size(); ++e) {
      direction[e] = 1;
      expected[e] = numeric(i, values, direction);
      direction[e] = 0;
      largest = std::max(largest, std::abs(expected[e]));
    }
    for (std::size_t e = 0; e < values.size(); ++e) {
      // The second term covers gradients that are exactly zero everywhere: the differences see f32 rounding only.
      if (std::abs(gradient[e] - expected[e]) <= options_.tolerance * largest + 1e-5) continue;
      return testing::AssertionFailure() << "input " << i << ", element " << e << ": gradient " << gradient[e]
                                         << ", differences give " << expected[e];
    }
    return testing::AssertionSuccess();
  }

  testing::AssertionResult check_directions(std::size_t i) const {
    const std::vector<double> values = values_of(inputs_[i]);
    const std::vector<double> gradient = values_of(analytic_[i]);
    double norm = 0;
    for (const double g : gradient) norm += g * g;
    norm = std::sqrt(norm);
    const double root = std::sqrt(static_cast<double>(values.size()));
    for (int d = 0; d < options_.directions; ++d) {
      // Half random, half along the gradient: a purely random direction hardly sees the gradient of many elements.
      std::vector<double> direction = values_of(random_normal(inputs_[i].size(), options_.seed + 10 + d, DType::f64));
      double analytic = 0;
      for (std::size_t e = 0; e < direction.size(); ++e) {
        if (norm > 0) direction[e] = (direction[e] + gradient[e] / norm * root) / 2;
        analytic += direction[e] * gradient[e];
      }
      const double expected = numeric(i, values, direction);
      if (std::abs(analytic - expected) <= options_.tolerance * norm * root + 1e-5) continue;
      return testing::AssertionFailure() << "input " << i << ", direction " << d << ": gradient gives " << analytic
                                         << ", differences give " << expected;
    }
    return testing::AssertionSuccess();
  }

  testing::AssertionResult check_alone(std::size_t i) const {
    std::vector<bool> alone(inputs_.size());
    alone[i] = true;
    const auto result = allclose(gradients(fn_, inputs_, alone, up_)[i], analytic_[i]);
    return result ? result : testing::AssertionFailure() << "input " << i << " alone: " << result.message();
  }

  testing::AssertionResult check_accumulation() const {
    const std::vector<Tensor> inputs = prepared(inputs_, wanted_);
    run_backward(fn_, inputs, up_);
    run_backward(fn_, inputs, up_);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!wanted_[i]) continue;
      std::vector<double> doubled = values_of(analytic_[i]);
      for (double& value : doubled) value *= 2;
      const auto result = allclose(autograd::grad(inputs[i]), tensor_of(inputs[i].size(), doubled, DType::f64));
      if (!result) return testing::AssertionFailure() << "input " << i << " accumulated: " << result.message();
      autograd::zero_grad(inputs[i]);
    }
    run_backward(fn_, inputs, up_);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!wanted_[i]) continue;
      const auto result = allclose(autograd::grad(inputs[i]), analytic_[i]);
      if (!result) return testing::AssertionFailure() << "input " << i << " after zero_grad: " << result.message();
    }
    return testing::AssertionSuccess();
  }

  const Function& fn_;
  const std::vector<Tensor>& inputs_;
  const GradcheckOptions& options_;
  std::vector<bool> wanted_;
  Tensor up_;
  std::vector<double> up_values_;
  std::vector<Tensor> analytic_;
};

}  // namespace

std::vector<Tensor> gradients(const Function& fn, const std::vector<Tensor>& inputs, const std::vector<bool>& wanted,
                              const Tensor& up) {
  const std::vector<Tensor> own = prepared(inputs, wanted);
  run_backward(fn, own, up);
  std::vector<Tensor> result(own.size());
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (own[i]) result[i] = autograd::grad(own[i]);
  }
  return result;
}

testing::AssertionResult gradcheck(const Function& fn, const std::vector<Tensor>& inputs,
                                   const GradcheckOptions& options) {
  return Checker(fn, inputs, options).run();
}

}  // namespace visage::test
