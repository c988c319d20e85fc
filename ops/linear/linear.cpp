#include "ops/linear/linear.h"

#include "ops/dispatch.h"
#include "ops/gradient/targets.h"
#include "ops/rounded_weight.h"
#include "tensor/cpu/onednn.h"
#include "tensor/cuda/cublas.h"

namespace visage::ops {
namespace {

bool has_one_pitch(const Tensor& t) {
  for (int i = 0; i + 2 < t.rank(); ++i)
    if (t.size(i) != 1 && t.stride()[i] != t.stride()[i + 1] * t.size(i + 1)) return false;
  return t.size(-1) <= 1 || t.stride()[-1] == 1;
}

// [..., C] as [rows, C] for rows that follow each other at one pitch, which a window on the channels of a wider buffer
// satisfies.
Tensor as_rows(const Tensor& t) {
  const std::int64_t columns = t.size(-1);
  const std::int64_t pitch = t.rank() > 1 ? t.stride()[-2] : columns;
  return Tensor::alias(t, {columns ? t.numel() / columns : 0, columns}, {pitch, 1});
}

/// x [M, K] and y [M, N], rows of one pitch.
void run_rows(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& y, Activation activation,
              float beta) {
  note_work(2.0 * static_cast<double>(y.numel()) * static_cast<double>(x.size(-1)), x, weight, bias, y);
  on_device(
      x.device(),
      [&] {
        cpu::onednn::run(cpu::onednn::Linear{x, weight, bias, y, activation, beta});
      },
      [&](StreamHandle stream) {
        const bool repeats = x.size(0) > 1 && x.stride()[0] < x.size(1);  // one row for all
        const Tensor rows = repeats ? contiguous_as("linear", x, x.dtype()) : x;
        const Tensor w = rounded_weight("linear", weight, x.dtype());
        const Tensor b = bias ? rounded_weight("linear", bias, y.dtype()) : Tensor{};
        cuda::cublas::run({rows.view(), w.view(), view_or_empty(b), y.view(), activation, beta}, stream);
      });
}

/// y = a * b^T + beta * y.
void run_product(const Tensor& a, const Tensor& b, const Tensor& y, float beta) {
  note_work(2.0 * static_cast<double>(y.numel()) * static_cast<double>(a.size(-1)), a, b, y);
  on_device(
      a.device(),
      [&] {
        cpu::onednn::run(cpu::onednn::BatchedProduct{a, b, y, beta});
      },
      [&](StreamHandle stream) {
        cuda::cublas::run({a.view(), b.view(), {}, y.view(), Activation::none, beta}, stream);
      });
}

void run(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& y, const LinearOptions& options) {
  if (has_one_pitch(x) && has_one_pitch(y))
    return run_rows(as_rows(x), weight, bias, as_rows(y), options.activation, options.accumulate_into ? 1.f : 0.f);
  // A window on the tokens of a batch: every image has one pitch.
  check<ShapeError>(x.rank() > 2, "linear: rows must have one pitch; x ", x.size(), " with stride ", x.stride());
  for (std::int64_t n = 0; n < x.size(0); ++n) {
    const auto item = [&](const Tensor& t) {
      Dims size, stride;
      for (int i = 1; i < t.rank(); ++i) {
        size.append(t.size(i));
        stride.append(t.stride()[i]);
      }
      return Tensor::alias(t, size, stride, n * t.stride()[0]);
    };
    run(item(x), weight, bias, item(y), options);
  }
}

/// The last two axes exchanged; no copy.
Tensor transposed(const Tensor& t) {
  Dims size = t.size(), stride = t.stride();
  std::swap(size[-1], size[-2]);
  std::swap(stride[-1], stride[-2]);
  return Tensor::alias(t, size, stride);
}

/// Adds a * b^T to the gradient of input `i`, which may have more axes than the product.
void accumulate_product(const Tensor& a, const Tensor& b, Targets targets, std::size_t i) {
  if (!wants(targets, i)) return;
  const Tensor whole = targets[i].buffer();
  const float beta = targets[i].beta();
  targets[i].done();
  if (a.size(-1) == 0) {  // nothing is summed
    if (beta == 0) clear(whole);
    return;
  }
  Dims size = a.size();
  size[-1] = b.size(-2);
  run_product(a, b, Tensor::alias(whole, size, contiguous_strides(size)), beta);
}

/// With g = the gradient before the activation:   gx = g * weight,  gweight = g^T * x,  gbias = sum of the rows of g.
/// The products run in the type of x.
autograd::Backward linear_backward(const Tensor& x, const Tensor& weight, const Tensor& relu_result) {
  return [=](const Tensor& gy, Targets targets) {
    const DType dtype = x.dtype();
    const Tensor before = relu_result ? relu_gradient("linear", gy, relu_result, dtype) : gy;
    accumulate_rows("linear", before, targets, 2);
    const Tensor g = as_rows(contiguous_as("linear", before, dtype));
    if (wants(targets, 0)) accumulate_product(g, transposed(rounded_weight("linear", weight, dtype)), targets, 0);
    if (wants(targets, 1)) {
      const Tensor rows = as_rows(has_one_pitch(x) ? x : contiguous_as("linear", x, dtype));
      accumulate_product(transposed(g), transposed(rows), targets, 1);
    }
  };
}

/// ga = gy * b,  gb = gy^T * a.
autograd::Backward matmul_nt_backward(const Tensor& a, const Tensor& b) {
  return [=](const Tensor& gy, Targets targets) {
    const Tensor g = contiguous_as("matmul_nt", gy, a.dtype());
    accumulate_product(g, transposed(b), targets, 0);
    accumulate_product(transposed(g), transposed(a), targets, 1);
  };
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, const LinearOptions& options) {
  check<ShapeError>(weight.rank() == 2 && x.rank() >= 1 && x.size(-1) == weight.size(1) && weight.is_contiguous(),
                    "linear: weight must be [N,K], K = last axis of x; x ", x.size(), ", weight ", weight.size());
  check<ShapeError>(!bias || bias.size() == Dims{weight.size(0)}, "linear: bias must be [N]; weight ", weight.size());
  check<DTypeError>(weight.dtype() == DType::f32, "linear: weight must be f32; got ", weight.dtype());
  if (options.accumulate_into)
    autograd::not_differentiable("linear with accumulate_into", {x, weight, bias, options.accumulate_into});
  Dims size = x.size();
  size[-1] = weight.size(0);
  Tensor y = options.accumulate_into ? options.accumulate_into : Tensor::empty(size, options.dtype, x.device());
  check<ShapeError>(y.size() == size, "linear: the residual must be ", size, "; got ", y.size());
  const Tensor rounded = product_input("linear", x);
  run(rounded, weight, bias, y, options);
  const Tensor inputs[] = {x, weight, bias};
  if (autograd::needs_grad(inputs)) {
    const Tensor relu_result = options.activation == Activation::relu ? y : Tensor{};
    autograd::record("linear", inputs, y, linear_backward(rounded, weight, relu_result));
  }
  return y;
}

Tensor matmul_nt(const Tensor& a, const Tensor& b) {
  check<ShapeError>(a.rank() == 3 && b.rank() == 3 && a.size(0) == b.size(0) && a.size(2) == b.size(2),
                    "matmul_nt: needs a [B,M,K] and b [B,N,K]; a ", a.size(), ", b ", b.size());
  check<DTypeError>(a.dtype() == b.dtype(), "matmul_nt: a is ", a.dtype(), ", b is ", b.dtype());
  Tensor y = Tensor::empty({a.size(0), a.size(1), b.size(1)}, DType::f32, a.device());
  run_product(a, b, y, 0);
  const Tensor inputs[] = {a, b};
  autograd::record("matmul_nt", inputs, y, matmul_nt_backward(a, b));
  return y;
}

}  // namespace visage::ops
