#pragma once
#include "visage/tracking/tracker.h"

#include <cstdint>
#include <vector>

namespace visage::tracking::test {

/// A query as a test describes it.
struct Query {
  double score;                   // probability of its class
  std::vector<double> embedding;  // object embedding
  int begin = 0, end = 0;         // its mask: these of 64 pixels
  int label = 0;                  // of 3 classes
};

/// A frame made of such queries. The appearance embeddings are the object embeddings turned back to front.
class ConstructedFrame {
 public:
  explicit ConstructedFrame(const std::vector<Query>& queries);
  operator FrameQueries() const;

 private:
  Tensor logits_, object_, appearance_;
  std::vector<ops::QueryMask> masks_;
};

}  // namespace visage::tracking::test
