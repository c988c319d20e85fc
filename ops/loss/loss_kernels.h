#pragma once
#include "ops/gradient/gradient.h"
#include "tensor/view.h"

namespace visage::ops {

enum class MaskLoss { sigmoid_ce, dice };

/// sigmoid_ce_loss and dice_loss; loss [1].
struct MaskLossArgs {
  View logits, targets;  // [M,P]
  View loss;
  double num_masks;
  View sums;  // CUDA: f64 [M, mask_loss_slices(P), 2], left for the backward
};
void sigmoid_ce_loss_cpu(const MaskLossArgs& args);
void dice_loss_cpu(const MaskLossArgs& args);

struct MaskLossBackwardArgs {
  View gloss;            // one element
  View logits, targets;  // [M,P]
  Gradient glogits;
  double num_masks;
  View sums;  // CUDA: of the forward
};
void sigmoid_ce_loss_backward_cpu(const MaskLossBackwardArgs& args);
void dice_loss_backward_cpu(const MaskLossBackwardArgs& args);

/// Blocks of the GPU that share a mask of so many points.
constexpr std::int64_t kMaskLossSlice = 4096;
constexpr std::int64_t mask_loss_slices(std::int64_t points) { return (points + kMaskLossSlice - 1) / kMaskLossSlice; }
void mask_loss_cuda(MaskLoss kind, const MaskLossArgs& args, StreamHandle stream);
void mask_loss_backward_cuda(MaskLoss kind, const MaskLossBackwardArgs& args, StreamHandle stream);

struct CrossEntropyArgs {
  View logits;   // [R,K]
  View labels;   // i64 [R], every one in [0,K)
  View weights;  // [K]
  View loss;     // [1]; forward only
  View gloss;    // one element; backward only
  Gradient glogits;
  View
      sums;  // CUDA: f64 [kCrossEntropySums]; the first two are the weighted sum and the total weight, for the backward
};
void weighted_cross_entropy_cpu(const CrossEntropyArgs& args);
void weighted_cross_entropy_backward_cpu(const CrossEntropyArgs& args);
inline constexpr std::int64_t kCrossEntropyBlocks = 264;
inline constexpr std::int64_t kCrossEntropySums = 2 + 2 * kCrossEntropyBlocks;
void weighted_cross_entropy_cuda(const CrossEntropyArgs& args, StreamHandle stream);
void weighted_cross_entropy_backward_cuda(const CrossEntropyArgs& args, StreamHandle stream);

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

/// The pairs for the GPU: an anchor is one instance of one pair, numbered through all pairs. One list of i64, in this
/// order. Rows are numbered through all frames of their embeddings.
struct AnchorLists {
  std::int64_t pairs, anchors;
  std::int64_t most;                      // anchors of one pair
  std::int64_t key_rows, reference_rows;  // of the embeddings
  const std::int64_t* first_product;      // [pairs]: where the products [n,n] of a pair start
  const std::int64_t* first_anchor;       // [pairs + 1]
  const std::int64_t* pair_of;            // [anchors]
  const std::int64_t* key_row;            // [anchors]
  const std::int64_t* reference_row;      // [anchors]
  const std::int64_t* key_first;          // [key_rows + 1]: where the anchors of a row start in ...
  const std::int64_t* key_anchor;         // ... this list, [anchors]
  const std::int64_t* reference_first;    // the same by rows of the reference
  const std::int64_t* reference_anchor;
};

enum class EmbeddingLoss { contrastive, cosine };

struct EmbeddingArgs {
  EmbeddingLoss kind;
  AnchorLists lists;
  View key, reference;  // [.., C]
  View state;  // f64 [3 * anchors + products]: losses, logsumexp | norms of keys, norms of references; products
  View loss;   // [1]; forward only
  View gloss;  // one element; backward only
  Gradient gkey, greference;
  double num_anchors;
};
void embedding_loss_cuda(const EmbeddingArgs& args, StreamHandle stream);
void embedding_loss_backward_cuda(const EmbeddingArgs& args, StreamHandle stream);

/// Matching costs of N frames. The instances of frame n are the rows starts[n] to starts[n + 1] of labels and targets,
/// and the first columns of its costs; the columns beyond are 0.
struct ClassCostArgs {
  View logits;  // [N,Q,K]
  View labels;  // i64 [G], every one in [0,K)
  View starts;  // i64 [N + 1]
  View cost;    // [N,Q,most]
};
void class_cost_cpu(const ClassCostArgs& args);
void class_cost_cuda(const ClassCostArgs& args, StreamHandle stream);

/// cost = ce_weight * sigmoid ce + dice_weight * dice + class_weight * class cost.
struct CombinedCostArgs {
  View logits, targets;  // [N,Q,P], [G,P]
  View starts;           // i64 [N + 1]
  View class_cost;       // [N,Q,most] or empty
  View cost;             // [N,Q,most]
  View scratch;          // CUDA: f32 [N, mask_cost_scratch(Q, most, P)]
  double ce_weight, dice_weight, class_weight;
};
void combined_cost_cpu(const CombinedCostArgs& args);
inline constexpr std::int64_t kMaskCostSlice = 512;  // points that one block sums
constexpr std::int64_t mask_cost_slices(std::int64_t points) { return (points + kMaskCostSlice - 1) / kMaskCostSlice; }
constexpr std::int64_t mask_cost_scratch(std::int64_t queries, std::int64_t instances, std::int64_t points) {
  return mask_cost_slices(points) * (2 * queries * instances + 2 * queries + instances);
}
void combined_cost_cuda(const CombinedCostArgs& args, StreamHandle stream);

}  // namespace visage::ops
