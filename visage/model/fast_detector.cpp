#include "models/mask2former/masked_decoder_plan.h"
#include "models/mask2former/pixel_decoder_plan.h"
#include "models/resnet/resnet_plan.h"
#include "ops/elementwise/elementwise.h"
#include "ops/mask_pool/mask_pool.h"
#include "tensor/stage_timer.h"
#include "visage/model/model.h"

namespace visage {
namespace {

std::vector<SideProjection> side_projections(const Model& model) {
  std::vector<SideProjection> side;
  const auto& projections = model.appearance()->projections();
  for (std::size_t level = 0; level < projections.size(); ++level)
    side.push_back({static_cast<int>(level) + 1, projections[level].conv, projections[level].norm});
  return side;
}

class FastDetector final : public Detector {
 public:
  FastDetector(const Model& model, DType dtype)
      : model_(model),
        backbone_(model.backbone(), dtype),
        pixel_decoder_(model.pixel_decoder(), side_projections(model), dtype),
        decoder_(model.decoder(), model.pixel_decoder().mask_features(), dtype) {}

  Device device() const override { return model_.device(); }
  bool replayable() const override { return true; }
  std::int64_t forgotten_tables() const override {
    return pixel_decoder_.forgotten_tables() + decoder_.forgotten_tables();
  }

  Detection detect(const Tensor& images, DetectionTrace* trace) override {
    BackboneFeatures features;
    {
      const StageTimer timer("backbone");
      features = backbone_(images);
    }
    // The traced maps are copies: the plan reuses buffers in place.
    if (trace)
      for (std::size_t i = 0; i < features.size(); ++i)
        trace->backbone[i] = ops::permute(ops::cast(features[i], DType::f32), {0, 1, 2, 3});
    PlannedPixels pixels;
    {
      const StageTimer timer("pixel decoder");
      pixels = pixel_decoder_(features, trace ? &trace->pixel : nullptr);
    }
    PlannedQueries queries;
    {
      const StageTimer timer("masked decoder");
      queries = decoder_(pixels, trace ? &trace->decoder : nullptr);
    }
    const StageTimer timer("appearance");
    const AppearanceOutput appearance = pool(pixels, queries);
    if (trace) trace->appearance = appearance;
    return {queries.class_logits, queries.mask_logits, appearance.object, appearance.appearance, queries.embeddings};
  }

 private:
  AppearanceOutput pool(const PlannedPixels& pixels, const PlannedQueries& queries) const {
    std::vector<ops::MaskPoolMap> maps;
    for (std::size_t level = 0; level < pixels.side.size(); ++level) {
      const SideFeatures& side = pixels.side[level];
      maps.push_back({side.pixels, queries.foreground[level], side.map.scale, side.map.shift});
    }
    std::vector<Tensor> pooled, counts;
    for (const ops::MaskPooled& result : ops::mask_pool_bits(maps)) {
      pooled.push_back(result.pooled);
      counts.push_back(result.counts);
    }
    return model_.appearance()->embed(queries.embeddings, std::move(pooled), std::move(counts));
  }

  const Model& model_;
  ResNetPlan backbone_;
  PixelDecoderPlan pixel_decoder_;
  MaskedDecoderPlan decoder_;
};

}  // namespace

std::unique_ptr<Detector> make_fast_detector(const Model& model, Precision precision) {
  return std::make_unique<FastDetector>(model, set_precision(precision, model.device()));
}

}  // namespace visage
