#pragma once
#include "tensor/tensor.h"

#include <span>
#include <vector>

namespace visage::ops {

/// A list of rows that is cut into items of different lengths, one after the other: the instances of a batch of frames.
/// The host knows the lengths, and with them the sizes of what is computed; kernels find the same numbers in tensors.
class RowRanges {
 public:
  /// counts[n]: rows of item n. Copies short lists to the device. throws ShapeError for a negative count.
  RowRanges(std::span<const std::int64_t> counts, Device device);

  std::int64_t items() const { return std::ssize(first_) - 1; }
  std::int64_t rows() const { return first_.back(); }
  std::int64_t first(std::int64_t item) const { return first_[item]; }  // first(items()) is rows()
  std::int64_t count(std::int64_t item) const { return first_[item + 1] - first_[item]; }
  std::int64_t most() const { return most_; }  // rows of one item

  /// i64 on the device: where the items start, [items + 1]; their numbers of rows, [items]; the item of a row, [rows].
  const Tensor& starts() const { return starts_; }
  const Tensor& counts() const { return counts_; }
  const Tensor& item_of_row() const { return item_of_row_; }

 private:
  std::vector<std::int64_t> first_;
  std::int64_t most_ = 0;
  Tensor starts_, counts_, item_of_row_;
};

}  // namespace visage::ops
