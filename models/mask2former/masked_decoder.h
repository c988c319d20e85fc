#pragma once
#include "models/mask2former/pixel_decoder.h"

#include <vector>

namespace visage {

/// Query features and what one prediction head makes of them. N counts frames, or with Mode::offline clips of T frames,
/// whose maps lie one below the other: H is then the height of a frame times T.
struct HeadOutput {
  Tensor query;           // [N, Q, C], before decoder_norm
  Tensor class_logits;    // [N, Q, K + 1]
  Tensor mask_embedding;  // [N, Q, C]: mask logits are its products with the mask features
  Tensor mask_logits;     // [N, Q, H/4, W/4]; empty with MaskDetail::embeddings
  Tensor blocked;         // u8 [N, Q, h*w] of the level the next layer attends; empty after the last layer
};

/// Whether every head's mask logits are wanted in full. Training computes them only for matched queries, from the
/// embeddings; attention masks come from resized mask features then, which is the same (both maps are linear).
enum class MaskDetail { full, embeddings };

struct DecoderOutput {
  std::vector<HeadOutput> heads;  // head 0 sees the learned queries, head k the output of layer k
  Tensor embeddings;              // [N, Q, C]: decoder_norm of the last layer's output
};

/// Mask2Former's transformer decoder (Cheng et al. 2022, section 3.2): per layer masked cross-attention to one level,
/// self-attention and FFN, post-norm; layer i attends level i mod levels. With Mode::offline that of Mask2Former-VIS
/// (Cheng et al. 2021): the pixels of all frames of a clip are the keys of one attention, told apart by a position code
/// with a third axis, and a query has one class and a mask in every frame.
class MaskedDecoder {
 public:
  MaskedDecoder(const nn::Scope& scope, const Mask2FormerConfig& config);
  /// `frames` is T, by which the number of images is divided; 1 with Mode::online.
  DecoderOutput operator()(const PixelFeatures& features, MaskDetail detail, std::int64_t frames = 1) const;

  struct Layer {
    nn::AttentionProjections cross, self;
    nn::LayerNorm cross_norm, self_norm, ffn_norm;
    nn::Linear linear1, linear2;
  };
  const Mask2FormerConfig& config() const { return config_; }
  const std::vector<Layer>& layers() const { return layers_; }
  const nn::LayerNorm& norm() const { return norm_; }
  const Tensor& query_feat() const { return query_feat_; }
  const Tensor& query_embed() const { return query_embed_; }
  const Tensor& level_embed() const { return level_embed_; }
  const nn::Linear& class_embed() const { return class_embed_; }
  const nn::Mlp& mask_embed() const { return mask_embed_; }

 private:
  Tensor position(const ops::LevelShape& shape, std::int64_t frames, Device device) const;
  HeadOutput predict(const Tensor& query, const PixelFeatures& features, std::span<const Tensor> level_features,
                     int head) const;
  Mask2FormerConfig config_;
  std::vector<Layer> layers_;
  nn::LayerNorm norm_;
  Tensor query_feat_, query_embed_, level_embed_;  // [Q, C], [Q, C], [levels, C]
  nn::Linear class_embed_;
  nn::Mlp mask_embed_;
};

/// Products of mask embeddings [N, Q, C] with mask features [N * T, h, w, C]: logits [N, Q, T * h, w].
[[nodiscard]] Tensor mask_logits(const Tensor& embedding, const Tensor& mask_features);

}  // namespace visage
