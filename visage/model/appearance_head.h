#pragma once
#include "models/resnet/resnet.h"
#include "nn/layers/layers.h"

#include <span>
#include <vector>

namespace visage {

struct AppearanceOutput {
  Tensor object;      // [N, Q, C] embedding of the query itself (the paper's object query; "reid" in the checkpoint)
  Tensor appearance;  // [N, Q, C] embedding of the features under the query's mask
  // Intermediate results, kept for inspection.
  std::vector<Tensor> pooled;  // one a level: [N, Q, C]
  std::vector<Tensor> counts;  // i64 [N, Q]: pixels of the binarised mask
};

/// VISAGE's appearance branch (section 3.2 of the paper): backbone maps res3, res4, res5 are projected (1x1 + group
/// norm) and averaged under each predicted mask; the concatenation goes through an MLP. A second MLP embeds the query.
class AppearanceHead {
 public:
  /// The first `levels` of res3, res4, res5 are used.
  AppearanceHead(const nn::Scope& scope, int levels, std::int64_t hidden, const std::array<std::int64_t, 4>& channels);

  /// embeddings [N, Q, C] from the decoder; mask_logits one [N, Q, h, w] of its last head a level, of any resolution.
  /// Backbone maps and masks are constants here, as in the released code: the appearance loss does not reach them.
  AppearanceOutput operator()(const Tensor& embeddings, const BackboneFeatures& features,
                              std::span<const Tensor> mask_logits) const;
  /// The embeddings for inference, from masks that are pooled already: `pooled` holds one [N, Q, C] a level.
  AppearanceOutput embed(const Tensor& embeddings, std::vector<Tensor> pooled, std::vector<Tensor> counts) const;

  struct Projection {  // "input_proj.<l>.0" and ".0.norm"
    nn::Conv2d conv;
    nn::GroupNorm norm;
  };
  const std::vector<Projection>& projections() const { return projections_; }

 private:
  std::vector<Projection> projections_;
  nn::Mlp appearance_embed_, object_embed_;
};

}  // namespace visage
