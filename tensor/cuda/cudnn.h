#pragma once
// The only door to cuDNN: convolutions of the CUDA backend. Images are [N, H, W, C], weights [O, kH, kW, I], all
// contiguous, f32 | bf16 | f16. Sums are f32; f32 factors are rounded to TF32 where precision.h says so; where
// determinism.h asks for it, only kernels with a fixed order of summation are used.
#include "tensor/activation.h"
#include "tensor/view.h"

namespace visage::cuda::cudnn {

/// y = activation(conv(x, weight) [+ bias] [+ y])
struct Convolution {
  View x, weight;  // of one type
  View bias;       // [O] of that type, or empty
  View y;          // of that type, or f32
  int stride = 1;
  int padding = 0;
  Activation activation = Activation::none;
  float beta = 0.f;  // 1: add to what y holds
};

/// gx = gradient of conv(x, weight) by x, where gy is the gradient of the result. All of one type. Overwrites.
struct ConvolutionBackwardData {
  View gy, weight, gx;
  int stride = 1;
  int padding = 0;
};

/// gweight = gradient of conv(x, weight) by weight. All of one type. Overwrites.
struct ConvolutionBackwardWeights {
  View x, gy, gweight;
  int stride = 1;
  int padding = 0;
};

/// Queue the work on the stream. False, with nothing queued, if cuDNN has no kernel for it on this device: the fused
/// epilogues and results of another type than the factors are not to be had for every shape; the plain ones are.
/// The plan for a problem is made when it is met for the first time, which takes tens of milliseconds.
[[nodiscard]] bool run(const Convolution& args, StreamHandle stream);
[[nodiscard]] bool run(const ConvolutionBackwardData& args, StreamHandle stream);
[[nodiscard]] bool run(const ConvolutionBackwardWeights& args, StreamHandle stream);

/// Whether new plans are chosen by timing several of them on the device and not by cuDNN's rules of thumb. Off by
/// default, since the choice, and with it the last bits, may then differ from run to run; VISAGE_CUDNN_AUTOTUNE=1 turns
/// it on. The first convolution of a problem then waits for the device.
void set_autotune(bool on);

}  // namespace visage::cuda::cudnn
