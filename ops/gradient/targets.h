#pragma once
// What the backward functions of the ops share. Tensors are f32 or bf16; others are refused with a DTypeError that
// names `op`.
#include "ops/gradient/gradient_of.h"

namespace visage::ops {

using Targets = std::span<const autograd::GradTarget>;

/// The view of a tensor, or an empty view for an absent one.
View view_or_empty(const Tensor& tensor);

/// True when there is an input `i` and its gradient is wanted.
bool wants(Targets targets, std::size_t i);

/// Adds factor * from to the gradient of input `i` if that is wanted. `from` has the input's size, any strides
/// (0 repeats), f32 or bf16.
void accumulate(const char* op, const Tensor& from, Targets targets, std::size_t i, float factor = 1);

/// Adds the sum of `from` over its leading axes to the gradient of input `i`, whose size ends that of `from`.
void accumulate_rows(const char* op, const Tensor& from, Targets targets, std::size_t i);

/// The gradient before a ReLU whose result is y, as a new tensor of `dtype`.
[[nodiscard]] Tensor relu_gradient(const char* op, const Tensor& gy, const Tensor& y, DType dtype);

/// x itself if it is contiguous and of `dtype`, else such a copy. f32 or bf16. No gradient history.
[[nodiscard]] Tensor contiguous_as(const char* op, const Tensor& x, DType dtype);

/// Sets every byte of a contiguous tensor to zero.
void clear(const Tensor& x);

/// x as a product computes with it: rounded where Autocast says so, else x itself. No gradient history.
[[nodiscard]] Tensor product_input(const char* op, const Tensor& x);

}  // namespace visage::ops
