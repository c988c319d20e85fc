#include "ops/track/class_score_kernels.h"

#include <algorithm>
#include <cmath>

namespace visage::ops {

void max_class_score_cpu(const ClassScoreArgs& args) {
  const std::int64_t queries = args.logits.size[0], classes = args.logits.size[1];
  for (std::int64_t query = 0; query < queries; ++query) {
    const float* logits = args.logits.as<float>() + query * classes;
    const float best = *std::max_element(logits, logits + classes - 1);
    const float largest = std::max(best, logits[classes - 1]);
    float sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(logits[c] - largest);
    args.out.as<float>()[query] = std::exp(best - largest) / sum;
  }
}

}  // namespace visage::ops
