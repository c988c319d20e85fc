#include "visage/model/clip_detector.h"

#include "models/mask2former/masked_decoder_plan.h"
#include "models/mask2former/pixel_decoder_plan.h"
#include "models/resnet/resnet_plan.h"
#include "ops/elementwise/elementwise.h"
#include "ops/shape/views.h"
#include "tensor/stage_timer.h"

namespace visage {
namespace {

const Model& offline(const Model& model) {
  check<UsageError>(model.mode() == Mode::offline,
                    "the model finds objects frame by frame; clips need weights of Mask2Former-VIS "
                    "and model.detector.mode = \"offline\"");
  return model;
}

/// The levels of the decoder, coarsest first, for maps at a quarter of the input.
std::vector<ops::LevelShape> levels_of(const Model& model, std::int64_t height, std::int64_t width) {
  std::vector<ops::LevelShape> shapes;
  for (int level = 0; level < model.config().detector.levels; ++level)
    shapes.push_back({height * 4 / (32 >> level), width * 4 / (32 >> level)});
  return shapes;
}

/// Logits [1, Q, T * h, w] as those of frames, [T, Q, h, w].
Tensor frame_by_frame(const Tensor& logits, std::int64_t frames) {
  const std::int64_t queries = logits.size(1), height = logits.size(2) / frames, width = logits.size(3);
  const Tensor planes = ops::permute(ops::reshape(logits, {queries, frames, height * width}), {1, 0, 2});
  return ops::reshape(planes, {frames, queries, height, width});
}

class PlainClipDetector final : public ClipDetector {
 public:
  explicit PlainClipDetector(const Model& model) : model_(offline(model)) {}
  Device device() const override { return model_.device(); }

  std::vector<Tensor> features(const Tensor& images) override {
    const BackboneFeatures maps = [&] {
      const StageTimer timer("backbone");
      return model_.backbone()(images);
    }();
    const StageTimer timer("pixel decoder");
    const PixelFeatures pixel = model_.pixel_decoder()(maps);
    return {pixel.tokens, pixel.mask_features};
  }

  ClipDetection detect(std::span<const Tensor> features, DecoderOutput* trace) override {
    const StageTimer timer("masked decoder");
    PixelFeatures pixel;
    pixel.tokens = features[0];
    pixel.mask_features = features[1];
    pixel.shapes = levels_of(model_, features[1].size(1), features[1].size(2));
    DecoderOutput local;
    DecoderOutput& out = trace ? *trace : local;
    const std::int64_t frames = features[0].size(0);
    out = model_.decoder()(pixel, MaskDetail::full, frames);
    const HeadOutput& last = out.heads.back();
    return {last.class_logits, frame_by_frame(last.mask_logits, frames), out.embeddings};
  }

 private:
  const Model& model_;
};

class FastClipDetector final : public ClipDetector {
 public:
  FastClipDetector(const Model& model, DType dtype)
      : model_(offline(model)),
        backbone_(model.backbone(), dtype),
        pixel_decoder_(model.pixel_decoder(), {}, dtype),
        decoder_(model.decoder(), model.pixel_decoder().mask_features(), dtype) {}
  Device device() const override { return model_.device(); }

  std::vector<Tensor> features(const Tensor& images) override {
    const BackboneFeatures maps = [&] {
      const StageTimer timer("backbone");
      return backbone_(images);
    }();
    const StageTimer timer("pixel decoder");
    const PlannedPixels pixels = pixel_decoder_(maps, nullptr);
    std::vector<Tensor> features{pixels.tokens, pixels.merged};
    features.insert(features.end(), pixels.cells.begin(), pixels.cells.end());
    return features;
  }

  ClipDetection detect(std::span<const Tensor> features, DecoderOutput* trace) override {
    const StageTimer timer("masked decoder");
    PlannedPixels pixels;
    pixels.tokens = features[0];
    pixels.merged = features[1];
    pixels.cells.assign(features.begin() + 2, features.end());
    pixels.shapes = levels_of(model_, pixels.merged.size(1), pixels.merged.size(2));
    const std::int64_t frames = pixels.tokens.size(0);
    const PlannedQueries queries = decoder_(pixels, trace, frames);
    return {queries.class_logits, frame_by_frame(queries.mask_logits, frames), queries.embeddings};
  }

 private:
  const Model& model_;
  ResNetPlan backbone_;
  PixelDecoderPlan pixel_decoder_;
  MaskedDecoderPlan decoder_;
};

}  // namespace

std::unique_ptr<ClipDetector> make_plain_clip_detector(const Model& model) {
  return std::make_unique<PlainClipDetector>(model);
}

std::unique_ptr<ClipDetector> make_fast_clip_detector(const Model& model, Precision precision) {
  return std::make_unique<FastClipDetector>(model, set_precision(precision, model.device()));
}

}  // namespace visage
