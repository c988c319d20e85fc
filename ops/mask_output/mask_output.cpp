#include "ops/mask_output/mask_output.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/mask_output/mask_output_kernels.h"
#include "tensor/cpu/features.h"
#include "tensor/cpu/parallel.h"

namespace visage::ops {
namespace {

void check_sizes(const Tensor& logits, const MaskSizes& sizes) {
  check<ShapeError>(logits.rank() == 3 && logits.numel() > 0 && logits.is_contiguous(),
                    "mask_output: logits must be contiguous [Q,h,w], not empty; got ", logits.size());
  check<DTypeError>(logits.dtype() == DType::f32, "mask_output: logits must be f32; got ", logits.dtype());
  for (const ImageSize& size : {sizes.padded, sizes.image, sizes.output})
    check<ShapeError>(size.height > 0 && size.width > 0, "mask_output: a size is ", size.height, " x ", size.width);
  check<ShapeError>(sizes.image.height <= sizes.padded.height && sizes.image.width <= sizes.padded.width,
                    "mask_output: the image, ", sizes.image.height, " x ", sizes.image.width,
                    ", does not fit in the padded input, ", sizes.padded.height, " x ", sizes.padded.width);
}

}  // namespace

std::vector<QueryMask> mask_output(const Tensor& logits, const MaskSizes& sizes) {
  check_sizes(logits, sizes);
  autograd::not_differentiable("mask_output", {logits});
  const std::int64_t queries = logits.size(0), area = logits.size(1) * logits.size(2);
  const auto words = static_cast<std::size_t>((sizes.output.height * sizes.output.width + 63) / 64);
  std::vector<QueryMask> masks(queries);
  on_cpu("mask_output", logits.device(), [&] {
    std::vector<MaskOutputRow> rows(queries);
    cpu::parallel_for(queries, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t q = begin; q < end; ++q) {
        if (any_positive_cpu(logits.data<float>() + q * area, area)) masks[q].bits.resize(words);
        rows[q].bits = masks[q].bits.empty() ? nullptr : masks[q].bits.data();
      }
    });
    mask_output_cpu({logits.view(), sizes.padded.height, sizes.padded.width, sizes.image.height, sizes.image.width,
                     sizes.output.height, sizes.output.width, rows.data()},
                    cpu::features().avx512 ? avx512_column_kernels() : portable_column_kernels());
    for (std::int64_t q = 0; q < queries; ++q) {
      masks[q].quality_sum = rows[q].quality_sum;
      masks[q].quality_count = rows[q].quality_count;
    }
  });
  return masks;
}

}  // namespace visage::ops
