// The terms of a mask are summed by one thread and the masks in their order, so results do not depend on the number of
// threads.
#include "ops/loss/loss_kernels.h"
#include "ops/loss/sigmoid.h"
#include "tensor/cpu/parallel.h"

#include <numeric>
#include <vector>

namespace visage::ops {
namespace {

constexpr std::int64_t kGrain = 4096;  // points worth starting a thread for

std::int64_t row_grain(const View& x) {
  return std::max<std::int64_t>(kGrain / std::max<std::int64_t>(x.size[1], 1), 1);
}

/// loss = sum over rows of term(logits, targets) / num_masks.
template <class Term>
void sum_rows(const MaskLossArgs& args, Term&& term) {
  const std::int64_t masks = args.logits.size[0], points = args.logits.size[1];
  std::vector<double> terms(masks, 0.);
  cpu::parallel_for(points > 0 ? masks : 0, row_grain(args.logits), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t m = begin; m < end; ++m)
      terms[m] = term(args.logits.as<float>() + m * points, args.targets.as<float>() + m * points, points);
  });
  *args.loss.as<float>() = static_cast<float>(std::accumulate(terms.begin(), terms.end(), 0.) / args.num_masks);
}

/// glogits rows: row(logits, targets, points) is called once a row and returns the gradient of a point.
template <class Row>
void for_rows(const MaskLossBackwardArgs& args, Row&& row) {
  const std::int64_t masks = args.logits.size[0], points = args.logits.size[1];
  const float beta = args.glogits.beta;
  const double factor = static_cast<double>(*args.gloss.as<float>()) / args.num_masks;
  cpu::parallel_for(points > 0 ? masks : 0, row_grain(args.logits), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t m = begin; m < end; ++m) {
      const float* x = args.logits.as<float>() + m * points;
      const float* t = args.targets.as<float>() + m * points;
      float* to = args.glogits.to.as<float>() + m * points;
      const auto slope = row(x, t, points, factor);
      for (std::int64_t p = 0; p < points; ++p) to[p] = slope(x[p], t[p]) + (beta == 0 ? 0.f : beta * to[p]);
    }
  });
}

struct DiceSums {
  double both = 0, either = 0;  // 2 sum(p t) + 1 and sum p + sum t + 1
};

DiceSums dice_sums(const float* x, const float* t, std::int64_t points) {
  DiceSums sums;
  for (std::int64_t p = 0; p < points; ++p) {
    const float probability = sigmoid(x[p]);
    sums.both += static_cast<double>(probability * t[p]);
    sums.either += static_cast<double>(probability + t[p]);
  }
  return {2 * sums.both + 1, sums.either + 1};
}

}  // namespace

void sigmoid_ce_loss_cpu(const MaskLossArgs& args) {
  sum_rows(args, [](const float* x, const float* t, std::int64_t points) {
    double sum = 0;
    for (std::int64_t p = 0; p < points; ++p) sum += static_cast<double>(softplus(x[p]) - x[p] * t[p]);
    return sum / static_cast<double>(points);
  });
}

void sigmoid_ce_loss_backward_cpu(const MaskLossBackwardArgs& args) {
  for_rows(args, [](const float*, const float*, std::int64_t points, double factor) {
    const auto share = static_cast<float>(factor / static_cast<double>(points));
    return [share](float x, float t) { return share * (sigmoid(x) - t); };
  });
}

void dice_loss_cpu(const MaskLossArgs& args) {
  sum_rows(args, [](const float* x, const float* t, std::int64_t points) {
    const DiceSums sums = dice_sums(x, t, points);
    return 1 - sums.both / sums.either;
  });
}

void dice_loss_backward_cpu(const MaskLossBackwardArgs& args) {
  for_rows(args, [](const float* x, const float* t, std::int64_t points, double factor) {
    const DiceSums sums = dice_sums(x, t, points);
    const auto constant = static_cast<float>(factor * sums.both / (sums.either * sums.either));
    const auto slope = static_cast<float>(-2 * factor / sums.either);
    // sigmoid(x) sigmoid(-x): 1 - p would lose what is left of a saturated p
    return [=](float at, float target) { return (constant + slope * target) * (sigmoid(at) * sigmoid(-at)); };
  });
}

}  // namespace visage::ops
