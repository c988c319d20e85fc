#pragma once
#include "models/mask2former/masked_decoder.h"
#include "models/mask2former/targets.h"
#include "ops/assign/matched_rows.h"

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

/// What the criterion draws points for. Heads count in the order of CriterionOutput::matches.
struct PointDraw {
  enum class Use : std::uint8_t { matching, candidates, random } use = Use::matching;
  std::size_t head = 0;
  std::int64_t first = 0;  // of the rows of the first axis, in a batch of which this one is a part (BatchShare)
};

/// Draws uniform numbers in [0, 1) of the given shape, where the model is (else they are copied there, for which the
/// host may have to wait): for the matching a row an item, for the losses a row a matched mask of a frame. The
/// criterion asks for them in a fixed order.
using UniformSource = std::function<Tensor(const Dims& shape, const PointDraw& draw)>;

/// What a batch must know of a larger one of which it is a part, on one of several processes or one of several that are
/// accumulated, so that the losses of the parts add up to that of the whole. By default it is the whole.
struct BatchShare {
  std::int64_t first_item = 0, first_match = 0;  // items and matched instances of the parts before
  double instances = 0;                          // of all parts: divides the mask losses; 0: those of this one
  double class_weight = 1;                       // this part's share of the weights of all class labels
  double anchors = 0;                            // of all parts: divides the embedding losses; 0: those of this one
};

struct CriterionConfig {
  double class_weight = 2, mask_weight = 5, dice_weight = 5;
  double no_object_weight = 0.1;  // of "no object" in the cross-entropy
  int num_points = 12544;         // sampled for the matching and for the mask losses
  double oversample = 3;          // candidates for every point of the mask losses
  double importance = 0.75;       // share of the points where the mask is least certain
};

struct CriterionOutput {
  std::vector<LossTerm> losses;  // loss_ce, loss_mask, loss_dice of the last head; _0, _1, ... of heads 0, 1, ...
  // What was matched and why, a head (last first, then 0, 1, ...), where the model is.
  std::vector<ops::MatchedRows> matches;
  std::vector<Tensor> costs;  // [N, Q, most instances of a frame]
};

/// The set-prediction loss of Mask2Former (Cheng et al. 2022, section 3.3) on every head, item by item: queries are
/// matched to instances by class, point-sampled mask and dice cost; matched queries learn the class and the mask,
/// the others "no object". Mask terms are divided by the number of instances over all items. An item is a frame, or for
/// Mask2Former-VIS (Cheng et al. 2021) a clip of T frames, whose instances are volumes: the matching compares them at
/// the same points of every frame, and the mask terms are summed over the frames.
///
/// Mask logits are linear in the mask features, so the matching samples the features once a frame and multiplies, and
/// full logits exist only for matched queries (identity I30). How many queries are matched does not depend on the
/// costs, so the host queues all of it without seeing a result. Costs that are not finite make the losses NaN on a GPU
/// and throw NonFiniteError on the CPU.
class MaskCriterion {
 public:
  MaskCriterion(int num_classes, const CriterionConfig& config, Device device);

  /// heads: from the decoder, of N items; mask_features [N * T, h, w, C]; targets: of the N items.
  CriterionOutput operator()(std::span<const HeadOutput> heads, const Tensor& mask_features,
                             const BatchTargets& targets, const UniformSource& uniform,
                             const BatchShare& share = {}) const;

 private:
  /// Draws as many rows of points as they are wanted for.
  using Points = std::function<Tensor(PointDraw::Use use, std::int64_t rows, std::int64_t points)>;
  Tensor matching_cost(const HeadOutput& head, const Tensor& mask_features, const BatchTargets& targets,
                       const Points& draw) const;
  void mask_losses(const HeadOutput& head, const Tensor& mask_features, const BatchTargets& targets,
                   const ops::MatchedRows& matches, const Points& draw, double num_masks, const std::string& suffix,
                   CriterionOutput& out) const;

  int num_classes_;
  CriterionConfig config_;
  Tensor class_weights_;  // [K + 1]
};

}  // namespace visage
