#pragma once
#include "autograd/tape.h"
#include "ops/gradient/gradient.h"

namespace visage::ops {

/// The gradient slot of input `i`, empty when no gradient is wanted for it. Slots are taken, and written, in the order
/// of the inputs: a tensor given twice gets the second contribution added to the first.
inline Gradient gradient_of(std::span<const autograd::GradTarget> targets, std::size_t i) {
  if (i >= targets.size() || !targets[i].needed()) return {};
  const Gradient gradient{targets[i].buffer().view(), targets[i].beta()};
  targets[i].done();
  return gradient;
}

}  // namespace visage::ops
