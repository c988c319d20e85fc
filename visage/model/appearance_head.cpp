#include "visage/model/appearance_head.h"

#include "ops/mask_pool/mask_pool.h"
#include "ops/shape/concatenate.h"

namespace visage {
AppearanceHead::AppearanceHead(const nn::Scope& scope, int levels, std::int64_t hidden,
                               const std::array<std::int64_t, 4>& channels) {
  for (int level = 0; level < levels; ++level) {
    const nn::Scope name = scope / "input_proj" / level / 0;
    projections_.push_back(
        {nn::Conv2d(name, channels[level + 1], hidden, 1, 1, nn::Bias::present), nn::GroupNorm(name / "norm", hidden)});
  }
  appearance_embed_ = nn::Mlp(scope / "appearance_embd", {levels * hidden, hidden, hidden, hidden});
  object_embed_ = nn::Mlp(scope / "reid_embd", {hidden, hidden, hidden, hidden});
}

AppearanceOutput AppearanceHead::operator()(const Tensor& embeddings, const BackboneFeatures& features,
                                            std::span<const Tensor> mask_logits) const {
  std::vector<Tensor> pooled, counts;
  for (std::size_t level = 0; level < projections_.size(); ++level) {
    const Projection& projection = projections_[level];
    const ops::MaskPooled result = ops::mask_pool(
        projection.norm(projection.conv(autograd::detach(features[level + 1]))), autograd::detach(mask_logits[level]));
    pooled.push_back(result.pooled);
    counts.push_back(result.counts);
  }
  return embed(embeddings, std::move(pooled), std::move(counts));
}

AppearanceOutput AppearanceHead::embed(const Tensor& embeddings, std::vector<Tensor> pooled,
                                       std::vector<Tensor> counts) const {
  AppearanceOutput out;
  out.object = object_embed_(embeddings);
  out.appearance = appearance_embed_(ops::concatenate(pooled, 2));
  out.pooled = std::move(pooled);
  out.counts = std::move(counts);
  return out;
}

}  // namespace visage
