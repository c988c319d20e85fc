#pragma once
#include "visage/model/model.h"

#include <memory>
#include <span>
#include <vector>

namespace visage {

/// What Mask2Former-VIS says about a clip of T frames.
struct ClipDetection {
  Tensor class_logits;  // [1, Q, K + 1]: of an object in the whole clip; the last class is "no object"
  Tensor mask_logits;   // [T, Q, H/4, W/4]
  Tensor decoder;       // [1, Q, C] the queries as they leave the decoder
};

/// The network with Mode::offline in two halves: maps of single frames, and from those of a clip its objects. So the
/// frames that two clips share are read once, and however long a clip is, one frame at a time passes the backbone.
class ClipDetector {
 public:
  virtual ~ClipDetector() = default;
  /// Where the weights are, and the frames and results must be.
  virtual Device device() const = 0;
  /// What a clip needs of its frames [N, H, W, 3] f32 (normalised, zero-padded to multiples of 32): maps whose first
  /// axis is N, always as many and of the same type. Those of a clip are put one after the other on that axis.
  virtual std::vector<Tensor> features(const Tensor& images) = 0;
  /// The objects of a clip from the maps of its T frames, contiguous. `trace` may be null; with one, the outputs of
  /// every head go there as well.
  virtual ClipDetection detect(std::span<const Tensor> features, DecoderOutput* trace) = 0;
};

/// The modules as written: the training path, and the reference of the fast plan.
std::unique_ptr<ClipDetector> make_plain_clip_detector(const Model& model);
/// The inference plan, as make_fast_detector.
/// Both throw UsageError unless the model is of Mode::offline; this one also if the precision is not supported by this
/// machine.
std::unique_ptr<ClipDetector> make_fast_clip_detector(const Model& model, Precision precision);

}  // namespace visage
