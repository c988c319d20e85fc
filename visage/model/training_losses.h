#pragma once
#include "models/mask2former/criterion.h"
#include "visage/model/model.h"

namespace visage {

struct TrainingLossConfig {
  CriterionConfig masks;
  double contrastive_weight = 2;  // of each branch: loss_reid (object), loss_reid_app (appearance)
  double cosine_weight = 3;       // of its auxiliary cosine loss (loss_aux_reid, loss_aux_reid_app)
  // Recomputing saves memory, costs time and changes no bit of the gradients.
  autograd::Activations backbone = autograd::Activations::keep, encoder = autograd::Activations::keep;
};

struct TrainingLosses {
  std::vector<LossTerm> terms;
  Tensor total;  // f32 [1]: the sum of weight * value
  CriterionOutput criterion;
};

/// What the divisors of the losses and the places of a part in its batch are made of (BatchShare). Instances beyond the
/// number of queries, which nobody knows before the matching, count as if the first of them were the matched.
struct BatchCounts {
  double items = 0, instances = 0, matched = 0, class_weight = 0, anchors = 0;
};
/// Of the targets of the frames of a batch of clips of `frames` frames. Items are frames, or clips with Mode::offline.
[[nodiscard]] BatchCounts count_targets(std::span<const FrameTargets> targets, std::int64_t frames,
                                        const ModelConfig& model, const TrainingLossConfig& config);

/// The whole training loss of VISAGE for a batch of clips: Mask2Former's set-prediction loss on every head, and for the
/// embeddings of both branches the contrastive and the cosine loss between adjacent frames, on the queries that the
/// last head matched to visible instances. With Mode::offline the set-prediction loss alone, clip by clip.
class TrainingObjective {
 public:
  /// The model outlives the objective.
  TrainingObjective(const Model& model, const TrainingLossConfig& config);

  /// images [clips * frames, H, W, 3]; targets one a frame, frame t of clip b at b * frames + t, or with Mode::offline
  /// one a clip (clip_targets). Records on the tape of
  /// the caller, if there is one. On a GPU the host queues all work without waiting for any, unless a frame has more
  /// instances than there are queries. throws ShapeError if images and targets do not fit together.
  TrainingLosses operator()(const Tensor& images, const BatchTargets& targets, std::int64_t frames,
                            const UniformSource& uniform, const BatchShare& share = {}) const;

 private:
  void add_embedding_losses(const AppearanceOutput& embedded, const BatchTargets& targets, TrainingLosses& out,
                            std::int64_t frames, const BatchShare& share) const;
  const Model& model_;
  TrainingLossConfig config_;
  MaskCriterion criterion_;
};

}  // namespace visage
