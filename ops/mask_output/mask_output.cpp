#include "ops/mask_output/mask_output.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/mask_output/mask_output_kernels.h"
#include "tensor/cpu/features.h"
#include "tensor/cpu/parallel.h"

#include <algorithm>

namespace visage::ops {
namespace {

void check_sizes(const Tensor& logits, const MaskSizes& sizes) {
  check<ShapeError>(logits.rank() == 3 && logits.numel() > 0 && logits.is_contiguous(),
                    "mask_batch: logits must be contiguous [Q,h,w], not empty; got ", logits.size());
  check<DTypeError>(logits.dtype() == DType::f32, "mask_batch: logits must be f32; got ", logits.dtype());
  for (const ImageSize& size : {sizes.padded, sizes.image, sizes.output})
    check<ShapeError>(size.height > 0 && size.width > 0, "mask_batch: a size is ", size.height, " x ", size.width);
  check<ShapeError>(sizes.image.height <= sizes.padded.height && sizes.image.width <= sizes.padded.width,
                    "mask_batch: the image, ", sizes.image.height, " x ", sizes.image.width,
                    ", does not fit in the padded input, ", sizes.padded.height, " x ", sizes.padded.width);
}

std::int64_t words_of(const ImageSize& size) { return (size.height * size.width + 63) / 64; }

/// Rows whose bits are null are skipped.
void run_on_cpu(const Tensor& logits, const MaskSizes& sizes, std::vector<MaskOutputRow>& rows) {
  mask_output_cpu({logits.view(), sizes.padded.height, sizes.padded.width, sizes.image.height, sizes.image.width,
                   sizes.output.height, sizes.output.width, rows.data()},
                  cpu::features().avx512 ? avx512_column_kernels() : portable_column_kernels());
}

void batch_on_cpu(const Tensor& logits, const MaskSizes& sizes, const MaskBatch& batch) {
  auto* const bits = batch.bits.data<std::uint64_t>();
  const std::int64_t words = batch.bits.size(1);
  std::fill_n(bits, batch.bits.numel(), std::uint64_t{0});
  const std::int64_t queries = logits.size(0), area = logits.size(1) * logits.size(2);
  std::vector<MaskOutputRow> rows(queries);
  cpu::parallel_for(queries, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t q = begin; q < end; ++q)
      rows[q].bits = any_positive_cpu(logits.data<float>() + q * area, area) ? bits + q * words : nullptr;
  });
  run_on_cpu(logits, sizes, rows);
  for (std::int64_t q = 0; q < batch.seen.numel(); ++q) {
    batch.quality_sum.data<double>()[q] = rows[q].quality_sum;
    batch.quality_count.data<std::int64_t>()[q] = rows[q].quality_count;
    batch.seen.data<std::int32_t>()[q] = rows[q].bits != nullptr;
  }
}

/// Calls launch(args) with what the kernels are given.
template <class Launch>
void batch_on_gpu(const Tensor& logits, const MaskSizes& sizes, const MaskBatch& batch, Launch&& launch) {
  const auto groups = [](const ImageSize& size) { return (size.width + kMaskGroup - 1) / kMaskGroup; };
  const bool same = sizes.image.height == sizes.output.height && sizes.image.width == sizes.output.width;
  const Dims parts{logits.size(0), groups(sizes.image) + (same ? 0 : groups(sizes.output))};
  const Tensor sum = Tensor::empty(parts, DType::f64, logits.device());
  const Tensor count = Tensor::empty(parts, DType::i32, logits.device());
  const Tensor seen = Tensor::empty(parts, DType::i32, logits.device());
  const MaskBatchArgs args{logits.view(),
                           sizes.padded.height,
                           sizes.padded.width,
                           sizes.image.height,
                           sizes.image.width,
                           sizes.output.height,
                           sizes.output.width,
                           batch.bits.view(),
                           batch.quality_sum.view(),
                           batch.quality_count.view(),
                           batch.seen.view(),
                           sum.view(),
                           count.view(),
                           seen.view()};
  launch(args);
}

}  // namespace

MaskBatch mask_batch(const Tensor& logits, const MaskSizes& sizes) {
  check_sizes(logits, sizes);
  autograd::not_differentiable("mask_batch", {logits});
  note_work(7.0 * static_cast<double>(logits.size(0) * sizes.output.height * sizes.output.width), logits);
  const Dims per_query{logits.size(0)};
  const MaskBatch batch{Tensor::empty({logits.size(0), words_of(sizes.output)}, DType::i64, logits.device()),
                        Tensor::empty(per_query, DType::f64, logits.device()),
                        Tensor::empty(per_query, DType::i64, logits.device()),
                        Tensor::empty(per_query, DType::i32, logits.device())};
  on_device(
      logits.device(), [&] { batch_on_cpu(logits, sizes, batch); },
      [&](StreamHandle stream) {
        batch_on_gpu(logits, sizes, batch, [&](const MaskBatchArgs& args) { mask_batch_cuda(args, stream); });
      });
  return batch;
}

std::vector<QueryMask> query_masks(const MaskBatch& batch) {
  std::vector<QueryMask> masks(batch.seen.numel());
  const std::int64_t words = batch.bits.size(1);
  for (std::size_t q = 0; q < masks.size(); ++q) {
    const auto* const first = batch.bits.data<std::uint64_t>() + static_cast<std::int64_t>(q) * words;
    if (batch.seen.data<std::int32_t>()[q]) masks[q].bits.assign(first, first + words);
    masks[q].quality_sum = batch.quality_sum.data<double>()[q];
    masks[q].quality_count = batch.quality_count.data<std::int64_t>()[q];
  }
  return masks;
}

}  // namespace visage::ops
