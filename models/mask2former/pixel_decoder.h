#pragma once
#include "models/mask2former/config.h"
#include "models/resnet/resnet.h"
#include "nn/layers/layers.h"
#include "ops/deform_attention/deform_attention.h"

#include <array>
#include <vector>

namespace visage {

/// One layer of the deformable encoder (Zhu et al. 2021, section 4): deformable self-attention and FFN, post-norm.
struct DeformableEncoderLayer {
  nn::Linear sampling_offsets, attention_weights, value_proj, output_proj;
  nn::LayerNorm norm1, norm2;
  nn::Linear linear1, linear2;
  int heads, points;
  DeformableEncoderLayer(const nn::Scope& scope, const Mask2FormerConfig& config);
  /// tokens [N, L, C]; position [L, C] is added for offsets and weights only.
  Tensor operator()(const Tensor& tokens, const Tensor& position, std::span<const ops::LevelShape> shapes) const;

 private:
  /// In f32 also under Autocast: they are pixels of maps, and rounding would move the samples.
  Tensor offsets(const Tensor& query) const;
};

/// A convolution without bias and its group norm "norm".
struct GroupNormedConv {
  nn::Conv2d conv;
  nn::GroupNorm norm;
  GroupNormedConv() = default;
  GroupNormedConv(const nn::Scope& scope, std::int64_t in, std::int64_t out, int kernel);
  Tensor operator()(const Tensor& x, Activation activation) const { return norm(conv(x), activation); }
};

struct PixelFeatures {
  std::vector<ops::LevelShape> shapes;  // coarsest first: strides 32, 16, 8
  Tensor tokens;                        // [N, sum of the levels, C]
  Tensor mask_features;                 // [N, H/4, W/4, C]
  // Intermediate results, kept for inspection: the tokens after the input projection and after every encoder layer.
  std::vector<Tensor> layer_tokens;
  Tensor lateral, merged;  // adapter_1's and layer_1's output
};

/// Mask2Former's multi-scale deformable pixel decoder: the coarsest `levels` backbone maps are projected, refined by
/// the encoder, and a feature pyramid brings them up to stride 4.
class PixelDecoder {
 public:
  PixelDecoder(const nn::Scope& scope, const Mask2FormerConfig& config, const std::array<std::int64_t, 4>& channels);
  /// With Activations::recompute only the tokens between the encoder's layers are kept for the backward.
  PixelFeatures operator()(const BackboneFeatures& features,
                           autograd::Activations encoder = autograd::Activations::keep) const;

  struct InputProjection {  // "input_proj.<l>.0" and ".1"
    nn::Conv2d conv;
    nn::GroupNorm norm;
  };
  const Mask2FormerConfig& config() const { return config_; }
  const std::vector<InputProjection>& input_projections() const { return input_projections_; }
  const Tensor& level_embed() const { return level_embed_; }
  const std::vector<DeformableEncoderLayer>& layers() const { return layers_; }
  /// adapter_<i+1> and layer_<i+1>; entry 0 works at stride 4.
  const std::vector<GroupNormedConv>& adapters() const { return adapters_; }
  const std::vector<GroupNormedConv>& outputs() const { return outputs_; }
  const nn::Conv2d& mask_features() const { return mask_features_; }

 private:
  Tensor project(const BackboneFeatures& features, std::vector<ops::LevelShape>& shapes) const;
  Tensor positions(std::span<const ops::LevelShape> shapes) const;
  Mask2FormerConfig config_;
  std::vector<InputProjection> input_projections_;
  Tensor level_embed_;
  std::vector<DeformableEncoderLayer> layers_;
  nn::Conv2d mask_features_;
  std::vector<GroupNormedConv> adapters_, outputs_;
};

/// The tokens of one level: a window [N, h*w, C], or an image [N, h, w, C], which is copied where the batch has more
/// than one item.
Tensor level_tokens(const Tensor& tokens, std::span<const ops::LevelShape> shapes, std::size_t level);
Tensor level_image(const Tensor& tokens, std::span<const ops::LevelShape> shapes, std::size_t level);

}  // namespace visage
