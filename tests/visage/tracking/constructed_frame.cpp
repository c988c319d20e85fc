#include "tests/visage/tracking/constructed_frame.h"

#include <cmath>

namespace visage::tracking::test {

ConstructedFrame::ConstructedFrame(const std::vector<Query>& queries) {
  constexpr std::int64_t kLogits = 4;
  const std::int64_t rows = std::ssize(queries), depth = std::ssize(queries.front().embedding);
  logits_ = Tensor::empty({rows, kLogits});
  object_ = Tensor::empty({rows, depth});
  appearance_ = Tensor::empty({rows, depth});
  for (std::int64_t q = 0; q < rows; ++q) {
    const Query& query = queries[q];
    float* logits = logits_.data<float>() + q * kLogits;
    for (int c = 0; c < kLogits; ++c) logits[c] = -1000;
    logits[query.label] = static_cast<float>(std::log(query.score));
    logits[kLogits - 1] = static_cast<float>(std::log(1 - query.score));
    for (std::int64_t d = 0; d < depth; ++d) {
      object_.data<float>()[q * depth + d] = static_cast<float>(query.embedding[d]);
      appearance_.data<float>()[q * depth + d] = static_cast<float>(query.embedding[depth - 1 - d]);
    }
    ops::QueryMask& mask = masks_.emplace_back();
    if (query.begin == query.end) continue;
    mask.bits = {0, 0};
    for (int pixel = query.begin; pixel < query.end; ++pixel) mask.bits[1] |= std::uint64_t{1} << pixel;
  }
}

ConstructedFrame::operator FrameQueries() const {
  return {.logits = logits_, .object = object_, .appearance = appearance_, .masks = masks_};
}

}  // namespace visage::tracking::test
