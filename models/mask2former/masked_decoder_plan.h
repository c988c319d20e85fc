#pragma once
#include "models/mask2former/masked_decoder.h"
#include "models/mask2former/pixel_decoder_plan.h"
#include "models/mask2former/size_tables.h"
#include "ops/row_program/row_program.h"

#include <array>

namespace visage {

/// N and H as in HeadOutput.
struct PlannedQueries {
  Tensor class_logits;             // [N, Q, K + 1]
  Tensor mask_logits;              // [N, Q, H/4, W/4]
  Tensor embeddings;               // [N, Q, C]
  std::vector<Tensor> foreground;  // mask bits at stride 8, 16, 32 (ops::mask_bits), for pooling; Mode::online only
};

/// The masked decoder's inference plan. Identities of docs/architecture.md: I1 (attention masks from pooled mask
/// features), I2 (mask_features folded into the mask MLP), I4 (position code of the keys as separable score terms), I5
/// (constants of the learned queries), I6 (keys and values of a level's layers in one product), I8 and I9 (mask bits
/// from the logits), I10 (classes and full masks after the last layer only), I18 and I19 (biases and level embeddings
/// of keys and values pass through the softmax). On a GPU a layer is six kernels: head, mask bits, cross-attention, a
/// row program, self-attention, a row program; the last one leaves the feed-forward network in parts, which the next
/// head adds up.
///
/// The frames of a clip lie one below the other, as a map of T * h rows: the third axis of the position code is one
/// more term of the code of a row, and nothing else here knows of clips.
class MaskedDecoderPlan {
 public:
  MaskedDecoderPlan(const MaskedDecoder& decoder, const nn::Conv2d& mask_features, DType dtype);
  /// `frames` of a clip, 1 with Mode::online. `trace` may be null; with one, the outputs of every head are computed as
  /// well.
  PlannedQueries operator()(const PlannedPixels& pixels, DecoderOutput* trace, std::int64_t frames = 1);

  /// SizeTables::forgotten.
  std::int64_t forgotten_tables() const { return tables_.forgotten(); }

 private:
  struct Layer {
    Tensor query_weight, query_constant;  // [C, C]; [Q, C] = query_embed W_q^T + b_q
    Tensor key;                           // [C, C]: W_k, which meets the code of a frame
    Tensor key_y, key_x;                  // [C, C/2]: its columns that meet the row and the column code
    Tensor out_bias;                      // with the value bias and the level embedding folded in
    std::array<Tensor, 3> self_weight;    // self-attention q, k, v: [C, C]
    std::array<Tensor, 3> self_bias;      // [Q, C] of q and k, query_embed W^T + b; [C] of v
    const MaskedDecoder::Layer* source;
  };
  struct Tables {
    Tensor y, x;  // [T * H, C], [W, C]: W_k applied to the position code of a row of a frame, of a column
  };
  struct MaskEmbedding {
    Tensor vectors;  // [N, Q, C] in the plan's dtype
    Tensor shift;    // [N, Q, 1]
  };
  /// The queries between two layers: norm(x + the sum of the parts), or x itself without a norm.
  struct Queries {
    Tensor x;  // [N, Q, C], or [Q, C] of the learned queries
    std::int64_t images;
    Tensor parts = {};  // [P, N, Q, C], of the feed-forward network
    const nn::LayerNorm* norm = nullptr;
  };
  /// What a layer begins with.
  struct Head {
    Tensor x, normed;  // [N, Q, C]; normed for traces only
    MaskEmbedding masks;
    Tensor q, score_y, score_x;  // of the cross-attention
  };
  const std::vector<Tables>& tables(std::span<const ops::LevelShape> shapes, std::int64_t frames);
  Tensor row_table(const Layer& layer, const Tensor& code_y, std::int64_t frames) const;
  ops::RowProgram program(const Queries& queries) const;
  ops::RowProgram::Rows start(ops::RowProgram& program, const Queries& queries) const;
  /// A branch of its own.
  MaskEmbedding embed_masks(ops::RowProgram& program, ops::RowProgram::Rows normed) const;
  Head head(const Queries& queries, const Layer& layer, const Tables& tables, bool traced) const;
  /// Both attentions and the feed-forward network.
  Queries attend(const Layer& layer, const Head& head, const Tensor& keys, const Tensor& values, const Tensor& allowed,
                 const Tensor& sees_any) const;
  PlannedQueries finish(const Queries& queries, const PlannedPixels& pixels, DecoderOutput* trace) const;
  /// Mask logits [N, Q, T * h, w] on features [N * T, h, w, C].
  static Tensor mask_logits(const MaskEmbedding& embedding, const Tensor& map);
  void trace_head(DecoderOutput& trace, const Head& head, const PlannedPixels& pixels, const Tensor& allowed) const;

  const MaskedDecoder& source_;
  DType dtype_;
  std::vector<Layer> layers_;
  std::vector<Tensor> key_value_weight_;  // a level: [layers of the level * 2C, C]
  Tensor mask_weight_, mask_bias_;        // last layer of mask_embed times the 1x1 convolution: [C, C], [C]
  Tensor shift_weight_, shift_bias_;      // its product with the convolution's bias: [1, C], [1]
  SizeTables<std::vector<Tables>> tables_;
};

}  // namespace visage
