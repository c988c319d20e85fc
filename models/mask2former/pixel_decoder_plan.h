#pragma once
#include "models/mask2former/pixel_decoder.h"
#include "models/mask2former/size_tables.h"

namespace visage {

/// A 1x1 projection and group norm of a backbone map that somebody besides the pixel decoder needs (the appearance
/// branch). The plan computes it in the same product and leaves the norm to the reader, as a scale and shift.
struct SideProjection {
  int stage = 0;  // 0 = res2 ... 3 = res5
  nn::Conv2d conv;
  nn::GroupNorm norm;
};
struct SideFeatures {
  Tensor pixels;        // [N, h*w, C], before the norm; a window on a wider product
  ops::ScaleShift map;  // [N, C]: normalised = pixels * scale + shift
};

struct PlannedPixels {
  std::vector<ops::LevelShape> shapes;
  Tensor tokens;              // [N, L, C]
  Tensor merged;              // [N, H/4, W/4, C]: what the 1x1 convolution mask_features would read
  std::vector<Tensor> cells;  // merged at stride 8, 16, 32: means of the four centre pixels
  std::vector<SideFeatures> side;
};

/// The pixel decoder's inference plan. Identities of docs/architecture.md: I1 (pooled mask features), I2 (mask_features
/// is folded into the decoder), I4 (position code as row and column tables), I7 (side norms after pooling), I13
/// (offsets in pixels), I14 (value, offsets and logits in one product; f32 only), I16 (side projections in the same
/// product).
class PixelDecoderPlan {
 public:
  PixelDecoderPlan(const PixelDecoder& decoder, std::vector<SideProjection> side, DType dtype);
  /// features: maps of the plan's dtype. `trace` may be null.
  PlannedPixels operator()(const BackboneFeatures& features, PixelFeatures* trace);

  /// SizeTables::forgotten.
  std::int64_t forgotten_tables() const { return tables_.forgotten(); }

 private:
  struct Layer {
    Tensor in_weight, in_bias;              // value | offsets | logits; value alone in bf16
    Tensor sampling_weight;                 // offsets | logits
    Tensor sampling_y, sampling_x;          // its columns that meet the row code and the column code
    std::vector<Tensor> sampling_constant;  // [1, S] a level: bias + the level embedding's share
    const DeformableEncoderLayer* source;
  };
  struct Projection {  // 1x1 convolutions of one map side by side, and the norms after them
    Tensor weight, bias, norm_weight, norm_bias;
  };
  struct Tables {  // of one layer, one entry a level
    std::vector<Tensor> y, x;
  };
  void project(const BackboneFeatures& features, PlannedPixels& out) const;
  const std::vector<Tables>& tables(std::span<const ops::LevelShape> shapes);
  Tensor encode(const Layer& layer, const Tables& tables, const Tensor& tokens,
                std::span<const ops::LevelShape> shapes) const;
  void merge(const BackboneFeatures& features, PlannedPixels& out, PixelFeatures* trace) const;

  const PixelDecoder& source_;
  std::vector<SideProjection> side_;
  DType dtype_;
  std::array<Projection, 4> projections_;  // of the stages; empty where nothing reads it
  std::vector<Layer> layers_;
  SizeTables<std::vector<Tables>> tables_;
};

}  // namespace visage
