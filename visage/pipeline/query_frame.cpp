#include "visage/pipeline/query_frame.h"

#include "ops/shape/views.h"
#include "tensor/cpu/parallel.h"
#include "tensor/stage_timer.h"
#include "tensor/transfer.h"
#include "visage/annotation/rle.h"

namespace visage::pipeline {
namespace {

std::vector<std::string> encode(const std::vector<ops::QueryMask>& masks, const ops::ImageSize& size) {
  std::vector<std::string> encoded(masks.size());
  cpu::parallel_for(static_cast<std::int64_t>(encoded.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t query = begin; query < end; ++query) {
      if (masks[query].bits.empty()) continue;
      const annotation::Rle rle = annotation::encode_columns(masks[query].bits.data(), size.height, size.width);
      if (rle.counts.size() > 1) encoded[query] = annotation::to_string(rle);
    }
  });
  return encoded;
}

}  // namespace

QueryFrame query_frame(const Detection& batch, std::int64_t item) {
  return {.queries = {ops::select(batch.class_logits, item), ops::select(batch.object, item),
                      ops::select(batch.appearance, item), ops::select(batch.decoder, item)},
          .mask_logits = ops::select(batch.mask_logits, item)};
}

QueryFrame query_frame(const Detection& batch, std::int64_t item, const ops::MaskSizes& sizes) {
  QueryFrame frame = query_frame(batch, item);
  frame.host_logits = to_device(frame.queries.logits, {});
  const ops::MaskBatch masks = [&] {
    const StageTimer timer("masks");
    return to_host(ops::mask_batch(frame.mask_logits, sizes));
  }();
  set_masks(frame, ops::query_masks(masks), sizes.output);
  return frame;
}

ops::MaskBatch to_host(const ops::MaskBatch& masks) {
  return {to_device(masks.bits, {}), to_device(masks.quality_sum, {}), to_device(masks.quality_count, {}),
          to_device(masks.seen, {})};
}

void set_masks(QueryFrame& frame, std::vector<ops::QueryMask> masks, const ops::ImageSize& size) {
  const StageTimer timer("run lengths");
  frame.size = size;
  frame.masks = std::move(masks);
  frame.run_lengths = encode(frame.masks, size);
}

}  // namespace visage::pipeline
