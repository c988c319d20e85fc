#pragma once
#include "tests/support/golden.h"
#include "visage/model/model.h"

#include <functional>
#include <string>
#include <vector>

namespace visage::test {

/// Which (frame, query) rows of a detection hang on a rounding error. A mask logit within 5e-5 of zero (the
/// largest difference of two f32 implementations) may be binarised either way; the attention of that row, and through
/// the self-attention a little of its frame, then differs by more than rounding.
class BorderlineRows {
 public:
  /// Considers the attention masks of heads 0 .. heads - 1, and with `pooling` the masks of the appearance levels.
  enum class Masks { attention, attention_and_pooling };
  BorderlineRows(const DetectionTrace& trace, std::size_t heads, Masks masks);

  bool row(std::int64_t frame, std::int64_t query) const { return rows_[frame * queries_ + query]; }
  bool frame(std::int64_t frame) const;

 private:
  void mark(const Tensor& mask_logits, std::int64_t height, std::int64_t width);
  std::int64_t queries_;
  std::vector<bool> rows_;
};

/// Where the (frame, query) of an element is in the flattened recorded tensor.
struct RowIndex {
  std::int64_t frame, query;
};
using RowOf = std::function<RowIndex(std::int64_t flat_index)>;

/// As GoldenFile::matches, but 3 % of the elements may be off where rounding explains it: in a row whose binarised
/// masks hang on it and, by at most 0.005, in the other rows of its frame.
testing::AssertionResult rows_match(const GoldenFile& golden, const std::string& name, const Tensor& got,
                                    const RowOf& row_of, const BorderlineRows& borderline);

/// Row lookup of tensors [T, Q, ...] and [Q, T, ...].
RowOf frame_major(const Dims& size);
RowOf query_major(const Dims& size);

}  // namespace visage::test
