#pragma once
// The only door to oneDNN: convolution and matrix products of the CPU backend. Works with oneDNN 2.x and 3.x.
#include "tensor/activation.h"
#include "tensor/tensor.h"

#include <string>

namespace visage::cpu::onednn {

/// y = activation(conv(x, weight) + bias [+ y])
struct Convolution {
  Tensor x;       // [N, H, W, I]  f32 | bf16, contiguous
  Tensor weight;  // [O, kH, kW, I] f32
  Tensor bias;    // [O] f32, or empty
  Tensor y;       // [N, H', W', O] f32 | bf16, contiguous
  int stride = 1;
  int padding = 0;
  Activation activation = Activation::none;
  float beta = 0.f;  // 1: add to what y holds
};
void run(const Convolution& args);

/// y = activation(x * weight^T + bias [+ y])
struct Linear {
  Tensor x;       // [M, K] f32 | bf16, rows may be strided
  Tensor weight;  // [N, K] f32, reordered once and kept
  Tensor bias;    // [N] f32, or empty
  Tensor y;       // [M, N] f32 | bf16, rows may be strided
  Activation activation = Activation::none;
  float beta = 0.f;
};
void run(const Linear& args);

/// y = a * b^T [+ y], for every item of a batch if there is one; both factors are activations, so nothing is kept.
struct BatchedProduct {
  Tensor a;  // [B, M, K] or [M, K], f32 | bf16; one of the last two axes has stride 1
  Tensor b;  // [B, N, K] or [N, K], like a
  Tensor y;  // [B, M, N] or [M, N], f32 | bf16
  float beta = 0.f;
};
void run(const BatchedProduct& args);

/// gx = gradient of conv(x, weight) by x, where gy is the gradient of the result. Overwrites.
struct ConvolutionBackwardData {
  Tensor gy;      // [N, H', W', O] f32 | bf16, contiguous
  Tensor weight;  // [O, kH, kW, I] f32
  Tensor gx;      // [N, H, W, I] f32 | bf16
  int stride = 1;
  int padding = 0;
};
void run(const ConvolutionBackwardData& args);

/// gweight = beta * gweight + gradient of conv(x, weight) by weight. beta is 0 or 1.
struct ConvolutionBackwardWeights {
  Tensor x;        // [N, H, W, I] f32 | bf16, contiguous
  Tensor gy;       // [N, H', W', O] like x
  Tensor gweight;  // [O, kH, kW, I] f32, contiguous
  int stride = 1;
  int padding = 0;
  float beta = 0.f;
};
void run(const ConvolutionBackwardWeights& args);

/// What oneDNN chose for the arguments ("brgconv:avx512_core", ...). A name that begins with "ref" is far too slow;
/// a test refuses it.
std::string implementation(const Convolution& args);
std::string implementation(const Linear& args);
std::string implementation(const BatchedProduct& args);
std::string implementation(const ConvolutionBackwardData& args);
std::string implementation(const ConvolutionBackwardWeights& args);

/// True when bf16 products run on bf16 units (AVX-512 bf16 or AMX) and not by emulation.
bool has_fast_bf16();

/// Forgets packed weights and primitives. Packed weights of tensors that are gone are also forgotten whenever another
/// weight is packed, and the primitives when there are too many.
void clear_caches();

}  // namespace visage::cpu::onednn
