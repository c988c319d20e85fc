#include "ops/shape/row_ranges.h"

#include "tensor/transfer.h"

#include <algorithm>

namespace visage::ops {

RowRanges::RowRanges(std::span<const std::int64_t> counts, Device device) : first_{0} {
  for (const std::int64_t count : counts) {
    check<ShapeError>(count >= 0, "RowRanges: item ", items(), " has ", count, " rows");
    first_.push_back(rows() + count);
    most_ = std::max(most_, count);
  }
  // One copy: starts, counts, items.
  const Tensor host = Tensor::empty({2 * items() + 1 + rows()}, DType::i64);
  auto* to = std::copy(first_.begin(), first_.end(), host.data<std::int64_t>());
  to = std::copy(counts.begin(), counts.end(), to);
  for (std::int64_t item = 0; item < items(); ++item) to = std::fill_n(to, count(item), item);
  const Tensor all = to_device(host, device);
  starts_ = Tensor::alias(all, {items() + 1}, {1});
  counts_ = Tensor::alias(all, {items()}, {1}, items() + 1);
  item_of_row_ = Tensor::alias(all, {rows()}, {1}, 2 * items() + 1);
}

}  // namespace visage::ops
