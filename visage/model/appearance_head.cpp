#include "visage/model/appearance_head.h"

#include "ops/mask_pool/mask_pool.h"
#include "ops/row_program/row_program.h"
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
  return {object_embed_(embeddings), appearance_embed_(ops::concatenate(pooled, 2)), pooled, counts};
}

AppearanceOutput AppearanceHead::embed(const Tensor& embeddings, std::vector<Tensor> pooled,
                                       std::vector<Tensor> counts) const {
  ops::RowProgram program(embeddings.device(), embeddings.size(0), embeddings.size(1));
  const auto apply = [&](const nn::Mlp& mlp, ops::RowProgram::Rows x) {
    for (const nn::Linear& layer : mlp.layers)
      x = program.linear(x, layer.weight, layer.bias, {.relu = &layer != &mlp.layers.back()});
    return program.store(x);
  };
  AppearanceOutput out;
  program.branch();
  out.object = apply(object_embed_, program.load(embeddings));
  program.branch();
  out.appearance = apply(appearance_embed_, program.load_beside(pooled));
  program.run();
  out.pooled = std::move(pooled);
  out.counts = std::move(counts);
  return out;
}

}  // namespace visage
