// A matrix product of our own: a query's row stays in the cache while the targets pass, and the order of the sums does
// not depend on the number of threads.
#include "ops/loss/loss_kernels.h"
#include "ops/loss/sigmoid.h"
#include "ops/simd/vec8.h"
#include "tensor/cpu/parallel.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace visage::ops {
namespace {

constexpr std::int64_t kBlock = 256;  // products summed in f32 before they are added to an f64 total

double dot(const float* a, const float* b, std::int64_t count) {
  double total = 0;
  for (std::int64_t first = 0; first < count; first += kBlock) {
    const std::int64_t end = std::min(first + kBlock, count);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = first; i < end; ++i) sum += a[i] * b[i];
    total += static_cast<double>(sum);
  }
  return total;
}

/// exp(-|x|), relative error below 3e-7; a NaN stays one.
Vec8 exp_of_minus_abs(const Vec8& x) { return exp2_nonpositive((x < 0.f ? x : -x) * 1.44269504f); }

/// Sum of log(1 + exp(x)). The logarithms of a block of factors 1 + exp(-|x|), each at most 2, are one of their
/// product.
double softplus_sum(const float* x, std::int64_t count) {
  double total = 0, product[kVec8] = {1, 1, 1, 1, 1, 1, 1, 1};
  const auto take_logarithms = [&] {
    for (double& factor : product) total += std::log(std::exchange(factor, 1.));
  };
  std::int64_t i = 0;
  for (; i + kVec8 <= count; i += kVec8) {
    const Vec8 at = load8(x + i), e = exp_of_minus_abs(at);
    float positive = 0;
    for (int lane = 0; lane < kVec8; ++lane) {
      product[lane] *= 1. + static_cast<double>(e[lane]);
      positive += std::max(at[lane], 0.f);
    }
    total += static_cast<double>(positive);
    if (i / kVec8 % 512 == 511) take_logarithms();
  }
  take_logarithms();
  for (; i < count; ++i) total += static_cast<double>(softplus(x[i]));
  return total;
}

void sigmoids(const float* x, float* probability, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kVec8 <= count; i += kVec8) {
    const Vec8 at = load8(x + i), e = exp_of_minus_abs(at), one = Vec8{} + 1.f;
    store8(probability + i, (at < 0.f ? e : one) / (1.f + e));
  }
  for (; i < count; ++i) probability[i] = sigmoid(x[i]);
}

double sum_of(const float* x, std::int64_t count) {
  double total = 0;
  for (std::int64_t i = 0; i < count; ++i) total += static_cast<double>(x[i]);
  return total;
}

/// The masks of one frame: logits [Q,P], targets [G,P]. Costs [Q,G].
struct FrameMasks {
  const float* logits;
  const float* targets;
  std::int64_t queries, instances, points;
};

std::vector<float> sigmoid_ce_costs(const FrameMasks& masks) {
  std::vector<float> cost(masks.queries * masks.instances);
  cpu::parallel_for(masks.queries, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t q = begin; q < end; ++q) {
      const float* x = masks.logits + q * masks.points;
      const double negative = softplus_sum(x, masks.points);  // cost if every target is 0
      for (std::int64_t g = 0; g < masks.instances; ++g) {
        const double product = dot(x, masks.targets + g * masks.points, masks.points);
        cost[q * masks.instances + g] = static_cast<float>((negative - product) / static_cast<double>(masks.points));
      }
    }
  });
  return cost;
}

std::vector<float> dice_costs(const FrameMasks& masks) {
  std::vector<float> cost(masks.queries * masks.instances);
  std::vector<double> target_sum(masks.instances);
  for (std::int64_t g = 0; g < masks.instances; ++g)
    target_sum[g] = sum_of(masks.targets + g * masks.points, masks.points);
  cpu::parallel_for(masks.queries, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> probability(masks.points);
    for (std::int64_t q = begin; q < end; ++q) {
      sigmoids(masks.logits + q * masks.points, probability.data(), masks.points);
      const double sum = sum_of(probability.data(), masks.points);
      for (std::int64_t g = 0; g < masks.instances; ++g) {
        const double product = dot(probability.data(), masks.targets + g * masks.points, masks.points);
        cost[q * masks.instances + g] = static_cast<float>(1 - (2 * product + 1) / (sum + target_sum[g] + 1));
      }
    }
  });
  return cost;
}

}  // namespace

void combined_cost_cpu(const CombinedCostArgs& args) {
  const std::int64_t queries = args.cost.size[1], most = args.cost.size[2], points = args.logits.size[2];
  std::fill_n(args.cost.as<float>(), args.cost.size.numel(), 0.f);
  for (std::int64_t n = 0; n < args.cost.size[0]; ++n) {
    const std::int64_t first = args.starts.as<std::int64_t>()[n];
    const std::int64_t instances = args.starts.as<std::int64_t>()[n + 1] - first;
    if (instances == 0) continue;
    const FrameMasks masks{args.logits.as<float>() + n * queries * points, args.targets.as<float>() + first * points,
                           queries, instances, points};
    // A part without weight is left out, also where it is not finite.
    const auto ce = args.ce_weight != 0 ? sigmoid_ce_costs(masks) : std::vector<float>(queries * instances);
    const auto dice = args.dice_weight != 0 ? dice_costs(masks) : std::vector<float>(queries * instances);
    for (std::int64_t q = 0; q < queries; ++q) {
      for (std::int64_t g = 0; g < instances; ++g) {
        const std::int64_t from = q * instances + g, to = (n * queries + q) * most + g;
        const double classes =
            args.class_cost ? args.class_weight * static_cast<double>(args.class_cost.as<float>()[to]) : 0;
        args.cost.as<float>()[to] = static_cast<float>(args.ce_weight * static_cast<double>(ce[from]) + classes +
                                                       args.dice_weight * static_cast<double>(dice[from]));
      }
    }
  }
}

void class_cost_cpu(const ClassCostArgs& args) {
  const std::int64_t queries = args.logits.size[1], classes = args.logits.size[2], most = args.cost.size[2];
  std::fill_n(args.cost.as<float>(), args.cost.size.numel(), 0.f);
  for (std::int64_t row = 0; row < args.logits.size[0] * queries; ++row) {
    const std::int64_t* const start = args.starts.as<std::int64_t>() + row / queries;
    const float* x = args.logits.as<float>() + row * classes;
    const float top = *std::max_element(x, x + classes);
    double sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(x[c] - top));
    for (std::int64_t g = 0; g < start[1] - start[0]; ++g) {
      const float own = x[args.labels.as<std::int64_t>()[start[0] + g]];
      args.cost.as<float>()[row * most + g] = static_cast<float>(-std::exp(static_cast<double>(own - top)) / sum);
    }
  }
}

}  // namespace visage::ops
