#pragma once
#include "models/mask2former/masked_decoder.h"
#include "models/mask2former/targets.h"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace visage {

/// A part of the training loss; the total is the sum of weight * value.
struct LossTerm {
  std::string name;
  double weight;
  Tensor value;  // f32 [1]
};

/// Which query explains which instance in one frame, ordered by query.
struct FrameMatch {
  std::vector<std::int64_t> queries, instances;
};

/// Draws uniform numbers in [0, 1) of the given shape. The criterion asks for them in a fixed order.
using UniformSource = std::function<Tensor(const Dims& shape)>;

struct CriterionConfig {
  double class_weight = 2, mask_weight = 5, dice_weight = 5;
  double no_object_weight = 0.1;  // of "no object" in the cross-entropy
  int num_points = 12544;         // sampled for the matching and for the mask losses
  double oversample = 3;          // candidates for every point of the mask losses
  double importance = 0.75;       // share of the points where the mask is least certain
};

struct CriterionOutput {
  std::vector<LossTerm> losses;  // loss_ce, loss_mask, loss_dice of the last head; _0, _1, ... of heads 0, 1, ...
  std::vector<std::vector<FrameMatch>> matches;  // a head (last first, then 0, 1, ...), a frame
  std::vector<std::vector<Tensor>> costs;        // likewise: the matching cost [Q, instances]
};

/// The set-prediction loss of Mask2Former (Cheng et al. 2022, section 3.3) on every head, frame by frame: queries are
/// matched to instances by class, point-sampled mask and dice cost; matched queries learn the class and the mask,
/// the others "no object". Mask terms are divided by the number of instances over all frames.
///
/// Mask logits are linear in the mask features, so the matching samples the features once a frame and multiplies, and
/// full logits exist only for matched queries (identity I30).
class MaskCriterion {
 public:
  MaskCriterion(int num_classes, const CriterionConfig& config);

  /// heads: from the decoder; mask_features [N, h, w, C]; targets: N frames. `world_masks` replaces the number of
  /// instances as the divisor where batches are spread over processes (0: this process alone).
  CriterionOutput operator()(std::span<const HeadOutput> heads, const Tensor& mask_features,
                             std::span<const FrameTargets> targets, const UniformSource& uniform,
                             double world_masks = 0) const;

 private:
  Tensor matching_cost(const Tensor& class_logits, const Tensor& mask_embedding, const Tensor& mask_features,
                       const FrameTargets& target, const Tensor& points) const;
  void match(const HeadOutput& head, const Tensor& mask_features, std::span<const FrameTargets> targets,
             const UniformSource& uniform, CriterionOutput& out) const;
  Tensor class_loss(const HeadOutput& head, std::span<const FrameTargets> targets,
                    std::span<const FrameMatch> matches) const;
  void mask_losses(const HeadOutput& head, const Tensor& mask_features, std::span<const FrameTargets> targets,
                   std::span<const FrameMatch> matches, const UniformSource& uniform, double num_masks,
                   const std::string& suffix, CriterionOutput& out) const;

  int num_classes_;
  CriterionConfig config_;
  Tensor class_weights_;  // [K + 1]
};

}  // namespace visage
