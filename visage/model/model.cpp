#include "visage/model/model.h"

#include "tensor/stage_timer.h"
#include "tensor/transfer.h"

namespace visage {
namespace {

void check_config(const ModelConfig& c) {
  const Mask2FormerConfig& d = c.detector;
  check<UsageError>(d.num_classes > 0 && d.num_queries > 0 && d.decoder_layers > 0 && d.encoder_layers > 0 &&
                        d.points > 0 && d.encoder_ffn > 0 && d.decoder_ffn > 0,
                    "model: classes, queries, layers, points and FFN sizes must be positive");
  check<UsageError>(d.heads > 0 && d.hidden > 0 && d.hidden % 32 == 0 && d.hidden % d.heads == 0,
                    "model.detector.hidden must be a multiple of 32 and of model.detector.heads; got ", d.hidden,
                    " and ", d.heads);
  check<UsageError>(d.levels >= 1 && d.levels <= 3, "model.detector.levels must be 1 to 3; got ", d.levels);
  check<UsageError>(c.appearance_levels >= 1 && c.appearance_levels <= 3,
                    "model.appearance_levels must be 1 to 3; got ", c.appearance_levels);
}

// The class weights of the criterion: a buffer of the official state dict that inference does not read.
void add_criterion_buffer(const nn::Scope& scope, int num_classes) {
  const Tensor weight = scope.buffer("empty_weight", {num_classes + 1});
  write_from_host(weight, [&](const Tensor& host) {
    for (int i = 0; i <= num_classes; ++i) host.data<float>()[i] = i < num_classes ? 1.f : 0.1f;
  });
}

class PlainDetector final : public Detector {
 public:
  explicit PlainDetector(const Model& model) : model_(model) {}
  Device device() const override { return model_.device(); }

  Detection detect(const Tensor& images, DetectionTrace* trace) override {
    DetectionTrace local;
    DetectionTrace& t = trace ? *trace : local;
    {
      const StageTimer timer("backbone");
      t.backbone = model_.backbone()(images);
    }
    {
      const StageTimer timer("pixel decoder");
      t.pixel = model_.pixel_decoder()(t.backbone);
    }
    {
      const StageTimer timer("masked decoder");
      t.decoder = model_.decoder()(t.pixel, MaskDetail::full);
    }
    const StageTimer timer("appearance");
    const HeadOutput& last = t.decoder.heads.back();
    const std::vector<Tensor> masks(model_.appearance()->projections().size(), last.mask_logits);
    t.appearance = (*model_.appearance())(t.decoder.embeddings, t.backbone, masks);
    return {last.class_logits, last.mask_logits, t.appearance.object, t.appearance.appearance, t.decoder.embeddings};
  }

 private:
  const Model& model_;
};

}  // namespace

Model::Model(const ModelConfig& config, Device device) : config_(config), device_(device) {
  check_config(config);
  const nn::Scope root(params_, "", device);
  backbone_ = std::make_unique<ResNet>(root / "backbone", config.backbone);
  const nn::Scope head = root / "sem_seg_head";
  pixel_decoder_ = std::make_unique<PixelDecoder>(head / "pixel_decoder", config.detector, backbone_->channels());
  decoder_ = std::make_unique<MaskedDecoder>(head / "predictor", config.detector);
  add_criterion_buffer(root / "criterion", config.detector.num_classes);
  if (config.detector.mode == Mode::online)
    appearance_ = std::make_unique<AppearanceHead>(root / "appearance_decoder", config.appearance_levels,
                                                   config.detector.hidden, backbone_->channels());
}

std::unique_ptr<Detector> make_plain_detector(const Model& model) { return std::make_unique<PlainDetector>(model); }

}  // namespace visage
