#pragma once
#include "models/mask2former/masked_decoder.h"
#include "models/mask2former/pixel_decoder.h"
#include "models/resnet/resnet.h"
#include "nn/param_store.h"
#include "visage/model/appearance_head.h"
#include "visage/model/config.h"
#include "visage/model/precision.h"

#include <memory>

namespace visage {

/// The VISAGE network: its parameters under the names of the official checkpoint, and its modules. With Mode::offline
/// that of Mask2Former-VIS, under the names of its official checkpoints.
class Model {
 public:
  /// Parameters are uninitialised: load a checkpoint or fill them. throws UsageError for an impossible configuration.
  explicit Model(const ModelConfig& config, Device device = {});
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const ModelConfig& config() const { return config_; }
  Mode mode() const { return config_.detector.mode; }
  Device device() const { return device_; }
  nn::ParamStore& params() { return params_; }
  const nn::ParamStore& params() const { return params_; }

  const ResNet& backbone() const { return *backbone_; }
  const PixelDecoder& pixel_decoder() const { return *pixel_decoder_; }
  const MaskedDecoder& decoder() const { return *decoder_; }
  /// None with Mode::offline.
  const AppearanceHead* appearance() const { return appearance_.get(); }

 private:
  ModelConfig config_;
  Device device_;
  nn::ParamStore params_;
  std::unique_ptr<ResNet> backbone_;
  std::unique_ptr<PixelDecoder> pixel_decoder_;
  std::unique_ptr<MaskedDecoder> decoder_;
  std::unique_ptr<AppearanceHead> appearance_;
};

/// What the network says about a batch of frames.
struct Detection {
  Tensor class_logits;  // [N, Q, K + 1], the last class is "no object"
  Tensor mask_logits;   // [N, Q, H/4, W/4]
  Tensor object;        // [N, Q, C]
  Tensor appearance;    // [N, Q, C]
  Tensor decoder;       // [N, Q, C] the queries as they leave the decoder, from which both embeddings are made
};

/// Intermediate results of one detection, for tests and study. A plan fills what it computes.
struct DetectionTrace {
  BackboneFeatures backbone;
  PixelFeatures pixel;
  DecoderOutput decoder;
  AppearanceOutput appearance;
};

/// Runs the network on frames [N, H, W, 3] f32 (normalised, zero-padded to multiples of 32).
class Detector {
 public:
  virtual ~Detector() = default;
  /// Where the weights are, and the frames and results must be.
  virtual Device device() const = 0;
  /// `trace` may be null. The next call may overwrite the result.
  virtual Detection detect(const Tensor& images, DetectionTrace* trace) = 0;
  /// Whether detections on frames of a size seen before are work of the device alone, which can be captured.
  virtual bool replayable() const { return false; }
  /// How often what was computed for a size of frames has been forgotten: graphs captured before must not be replayed.
  virtual std::int64_t forgotten_tables() const { return 0; }
};

/// The modules as written: the training path, and the reference of the fast plan.
std::unique_ptr<Detector> make_plain_detector(const Model& model);
/// The inference plan (docs/architecture.md lists its identities): the same function, a fraction of the work. It
/// derives its weights from the model once; make a new one after the parameters changed.
/// throws UsageError if the precision is not supported by this machine.
std::unique_ptr<Detector> make_fast_detector(const Model& model, Precision precision);

}  // namespace visage
