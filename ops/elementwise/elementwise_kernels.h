#pragma once
#include "ops/gradient/gradient.h"

namespace visage::ops::elementwise_detail {

/// All f32 and contiguous but for the types of a cast and the strides of what is permuted.
void add_cpu(const View& x, const View& y, const View& out);
void add_cuda(const View& x, const View& y, const View& out, StreamHandle stream);

void relu_cpu(const View& x, const View& out);
void relu_cuda(const View& x, const View& out, StreamHandle stream);

void softmax_cpu(const View& x, const View& out);
void softmax_cuda(const View& x, const View& out, StreamHandle stream);

/// With y = softmax(x):   gx = y * (gy - sum(gy * y)).
void softmax_backward_cpu(const View& gy, const View& y, const Gradient& gx);
void softmax_backward_cuda(const View& gy, const View& y, const Gradient& gx, StreamHandle stream);

/// partial: [kSumBlocks] f64 scratch.
void sum_all_cpu(const View& x, const View& out);
void sum_all_cuda(const View& x, const View& partial, const View& out, StreamHandle stream);
inline constexpr std::int64_t kSumBlocks = 1024;

/// out = sum over t < count of weights[t] * terms[t]; `terms` are pointers to device memory, the arrays themselves not.
void weighted_sum_cuda(const float* const* terms, const float* weights, int count, const View& out,
                       StreamHandle stream);

// On the GPU these two are copies with strides: gradient_detail::accumulate_cuda.
void cast_cpu(const View& x, const View& out);
void permute_cpu(const View& x, const Dims& order, const View& out);

}  // namespace visage::ops::elementwise_detail
