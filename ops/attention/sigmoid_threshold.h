#pragma once

namespace visage::ops {

// 1 / (1 + exp(-x)) evaluated in f32 rounds to exactly 0.5 for small |x|. These are the first logits on either side
// that leave 0.5, so comparing the logit decides what comparing its sigmoid would.
inline constexpr float kLeastAboveHalf = 0x1.800002p-24f;      // sigmoid(x) > 0.5 exactly when x >= this
inline constexpr float kGreatestBelowHalf = -0x1.7ffffep-23f;  // sigmoid(x) < 0.5 exactly when x <= this

}  // namespace visage::ops
