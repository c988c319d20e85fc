#pragma once
#include "nn/init/test_weights.h"
#include "nn/param_store.h"

#include <cstdint>

namespace visage::nn {

// Fillers of one f32 tensor in host memory, in memory order, from a counter-based stream: the same name and seed give
// the same values however many tensors there are and in whatever order they are filled.
// Fans: a tensor [O, ..., I] has fan_in = numel / O and fan_out = numel / I.

void fill_constant(const Tensor& tensor, float value);
/// N(0, deviation^2), by Box and Muller.
void fill_normal(const Tensor& tensor, float deviation, const HashStream& stream);
/// U(-b, b), b = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010).
void fill_xavier_uniform(const Tensor& tensor, const HashStream& stream);
/// N(0, 2 / fan_out) (He et al. 2015); what detectron2 calls MSRA fill, for convolutions followed by ReLU.
void fill_kaiming_normal(const Tensor& tensor, const HashStream& stream);
/// U(-b, b), b = sqrt(3 / fan_in); what detectron2 calls (Caffe2's) Xavier fill.
void fill_c2_xavier(const Tensor& tensor, const HashStream& stream);
/// Bias of sampling offsets [heads, levels, points, (x, y)]: head h looks in direction 2 pi h / heads, point p is
/// p + 1 pixels (in the larger axis) away (Zhu et al. 2021, Deformable DETR, appendix A.4).
void fill_directions(const Tensor& bias, std::int64_t heads, std::int64_t points);

struct InitOptions {
  std::uint64_t seed = 0;
  std::int64_t heads = 8, points = 4;  // of deformable attention
};

/// Initialises a model for training by what each entry is: norm scales and variances 1, biases and means 0, embeddings
/// N(0, 1), backbone convolutions Kaiming, other convolutions Caffe2-Xavier, other weights Xavier; sampling offsets
/// and attention logits of deformable attention start independent of their input.
/// Bumps the version of every storage. throws DeviceError if the store is not in host memory.
void initialise(ParamStore& store, const InitOptions& options = {});

}  // namespace visage::nn
