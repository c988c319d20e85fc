#pragma once
#include "ops/gradient/gradient.h"
#include "tensor/view.h"

namespace visage::ops {

/// sigmoid_ce_loss and dice_loss; loss [1].
struct MaskLossArgs {
  View logits, targets;  // [M,P]
  View loss;
  double num_masks;
};
void sigmoid_ce_loss_cpu(const MaskLossArgs& args);
void dice_loss_cpu(const MaskLossArgs& args);

struct MaskLossBackwardArgs {
  View gloss;            // one element
  View logits, targets;  // [M,P]
  Gradient glogits;
  double num_masks;
};
void sigmoid_ce_loss_backward_cpu(const MaskLossBackwardArgs& args);
void dice_loss_backward_cpu(const MaskLossBackwardArgs& args);

struct CrossEntropyArgs {
  View logits;   // [R,K]
  View labels;   // i64 [R], every one in [0,K)
  View weights;  // [K]
  View loss;     // [1]; forward only
  View gloss;    // one element; backward only
  Gradient glogits;
};
void weighted_cross_entropy_cpu(const CrossEntropyArgs& args);
void weighted_cross_entropy_backward_cpu(const CrossEntropyArgs& args);

/// Rows of one pair of frames, as addresses of their first elements.
struct EmbeddingPair {
  const float* const* key;        // [n]
  const float* const* reference;  // [n]
  std::int64_t count;             // n
  std::int64_t channels;
};
/// Returns the sums over the anchors of one pair.
double contrastive_sum_cpu(const EmbeddingPair& pair);
double cosine_sum_cpu(const EmbeddingPair& pair);
/// Adds factor * d sum / d row to gkey[i] and greference[j]; either list may be null.
void contrastive_backward_cpu(const EmbeddingPair& pair, double factor, float* const* gkey, float* const* greference);
void cosine_backward_cpu(const EmbeddingPair& pair, double factor, float* const* gkey, float* const* greference);

struct MaskCostArgs {
  View logits;   // [Q,P]
  View targets;  // [G,P]
  View cost;     // [Q,G]
};
void sigmoid_ce_cost_cpu(const MaskCostArgs& args);
void dice_cost_cpu(const MaskCostArgs& args);

struct ClassCostArgs {
  View logits;  // [Q,K]
  View labels;  // i64 [G], every one in [0,K)
  View cost;    // [Q,G]
};
void class_cost_cpu(const ClassCostArgs& args);

}  // namespace visage::ops
