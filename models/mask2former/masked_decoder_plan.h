#pragma once
#include "models/mask2former/masked_decoder.h"
#include "models/mask2former/pixel_decoder_plan.h"
#include "models/mask2former/size_tables.h"

namespace visage {

struct PlannedQueries {
  Tensor class_logits;             // [N, Q, K + 1]
  Tensor mask_logits;              // [N, Q, H/4, W/4]
  Tensor embeddings;               // [N, Q, C]
  std::vector<Tensor> foreground;  // mask bits at stride 8, 16, 32 (ops::mask_bits), for pooling under the masks
};

/// The masked decoder's inference plan. Identities of docs/architecture.md: I1 (attention masks from pooled mask
/// features), I2 (mask_features folded into the mask MLP), I4 (position code of the keys as separable score terms), I5
/// (constants of the learned queries), I6 (keys and values of a level's layers in one product), I8 and I9 (mask bits
/// from the logits), I10 (classes and full masks after the last layer only), I18 and I19 (biases and level embeddings
/// of keys and values pass through the softmax).
class MaskedDecoderPlan {
 public:
  MaskedDecoderPlan(const MaskedDecoder& decoder, const nn::Conv2d& mask_features, DType dtype);
  /// `trace` may be null; with one, the outputs of every head are computed as well.
  PlannedQueries operator()(const PlannedPixels& pixels, DecoderOutput* trace);

  /// SizeTables::forgotten.
  std::int64_t forgotten_tables() const { return tables_.forgotten(); }

 private:
  struct Layer {
    Tensor query_weight, query_constant;  // [C, C]; [Q, C] = query_embed W_q^T + b_q
    Tensor key_y, key_x;                  // [C, C/2]: the columns of W_k that meet the row and the column code
    Tensor out_bias;                      // with the value bias and the level embedding folded in
    Tensor pair_weight, pair_constant;    // self-attention q and k: [2C, C], [Q, 2C]
    Tensor value_weight, value_bias;      // self-attention v
    const MaskedDecoder::Layer* source;
  };
  struct Tables {
    Tensor y, x;  // [H, C], [W, C]: W_k applied to the position code of a row, of a column
  };
  struct MaskEmbedding {
    Tensor vectors;  // [N, Q, C] in the plan's dtype
    Tensor shift;    // [N, Q, 1]
  };
  Tensor dense(const Tensor& x, const Tensor& weight, const Tensor& bias,
               Activation activation = Activation::none) const;
  Tensor plus_constant(const Tensor& x, const Tensor& weight, const Tensor& constant) const;
  const std::vector<Tables>& tables(std::span<const ops::LevelShape> shapes);
  Tensor cross_attention(const Layer& layer, const Tables& tables, const Tensor& x, const Tensor& keys,
                         const Tensor& values, const Tensor& allowed) const;
  Tensor self_attention(const Layer& layer, const Tensor& x) const;
  Tensor feed_forward(const Layer& layer, const Tensor& x) const;
  MaskEmbedding embed_masks(const Tensor& normed) const;
  /// Mask logits [N, Q, pixels] on features [N, h, w, C].
  static Tensor mask_logits(const MaskEmbedding& embedding, const Tensor& features);
  void trace_head(DecoderOutput& trace, const Tensor& x, const Tensor& normed, const PlannedPixels& pixels,
                  const Tensor& allowed) const;

  const MaskedDecoder& source_;
  DType dtype_;
  std::vector<Layer> layers_;
  std::vector<Tensor> key_value_weight_;  // a level: [layers of the level * 2C, C]
  Tensor mask_weight_, mask_bias_;        // last layer of mask_embed times the 1x1 convolution: [C, C], [C]
  Tensor shift_weight_, shift_bias_;      // its product with the convolution's bias: [1, C], [1]
  SizeTables<std::vector<Tables>> tables_;
};

}  // namespace visage
