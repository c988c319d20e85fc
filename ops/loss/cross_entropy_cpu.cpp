// A few thousand rows of a few dozen classes: one thread.
#include "ops/loss/loss_kernels.h"

#include <algorithm>
#include <cmath>

namespace visage::ops {
namespace {

std::int64_t classes_of(const CrossEntropyArgs& args) { return args.weights.size[0]; }
std::int64_t rows_of(const CrossEntropyArgs& args) { return args.logits.size.numel() / classes_of(args); }

/// log(sum(exp(x - shift))) with the largest x as shift.
struct LogSum {
  double shift, log_sum;
};

LogSum log_sum_exp(const float* x, std::int64_t count) {
  const double shift = static_cast<double>(*std::max_element(x, x + count));
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += std::exp(static_cast<double>(x[i]) - shift);
  return {shift, std::log(sum)};
}

double weight_of(const CrossEntropyArgs& args, std::int64_t row) {
  return static_cast<double>(args.weights.as<float>()[args.labels.as<std::int64_t>()[row]]);
}

double total_weight(const CrossEntropyArgs& args) {
  double total = 0;
  for (std::int64_t row = 0; row < rows_of(args); ++row) total += weight_of(args, row);
  return total;
}

}  // namespace

void weighted_cross_entropy_cpu(const CrossEntropyArgs& args) {
  const std::int64_t classes = classes_of(args);
  double sum = 0;
  for (std::int64_t row = 0; row < rows_of(args); ++row) {
    const float* x = args.logits.as<float>() + row * classes;
    const LogSum lse = log_sum_exp(x, classes);
    const auto own = static_cast<double>(x[args.labels.as<std::int64_t>()[row]]);
    sum += weight_of(args, row) * (lse.log_sum + (lse.shift - own));
  }
  const double total = total_weight(args);
  *args.loss.as<float>() = static_cast<float>(total > 0 ? sum / total : 0);
}

void weighted_cross_entropy_backward_cpu(const CrossEntropyArgs& args) {
  const std::int64_t classes = classes_of(args);
  const double total = total_weight(args);
  const double factor = total > 0 ? static_cast<double>(*args.gloss.as<float>()) / total : 0;
  for (std::int64_t row = 0; row < rows_of(args); ++row) {
    const float* x = args.logits.as<float>() + row * classes;
    const LogSum lse = log_sum_exp(x, classes);
    const std::int64_t label = args.labels.as<std::int64_t>()[row];
    float* to = args.glogits.to.as<float>() + row * classes;
    for (std::int64_t c = 0; c < classes; ++c) {
      const double probability = std::exp(static_cast<double>(x[c]) - lse.shift - lse.log_sum);
      const auto slope = static_cast<float>(factor * weight_of(args, row) * (probability - (c == label)));
      to[c] = slope + (args.glogits.beta == 0 ? 0.f : args.glogits.beta * to[c]);
    }
  }
}

}  // namespace visage::ops
