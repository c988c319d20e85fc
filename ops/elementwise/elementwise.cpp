#include "ops/elementwise/elementwise.h"

#include "ops/dispatch.h"
#include "ops/elementwise/elementwise_kernels.h"
#include "ops/gradient/gradient_kernels.h"
#include "ops/gradient/targets.h"

#include <cstring>
#include <vector>

namespace visage::ops {
namespace {

using namespace elementwise_detail;

void check_f32(const char* op, const Tensor& x) {
  check<DTypeError>(x.dtype() == DType::f32, op, ": needs f32; got ", x.dtype());
  check<ShapeError>(x.is_contiguous(), op, ": needs a contiguous tensor; size ", x.size(), ", stride ", x.stride());
}

}  // namespace

Tensor add(const Tensor& x, const Tensor& y) {
  check_f32("add", x);
  check_f32("add", y);
  bool suffix = y.rank() <= x.rank();
  for (int i = 1; suffix && i <= y.rank(); ++i) suffix = y.size(-i) == x.size(-i);
  check<ShapeError>(suffix, "add: the size of y must end the size of x; x ", x.size(), ", y ", y.size());
  Tensor out = Tensor::empty(x.size(), x.dtype(), x.device());
  note_work(static_cast<double>(out.numel()), x, y, out);
  on_device(
      x.device(), [&] { add_cpu(x.view(), y.view(), out.view()); },
      [&](StreamHandle stream) { add_cuda(x.view(), y.view(), out.view(), stream); });
  const Tensor inputs[] = {x, y};
  autograd::record("add", inputs, out, [same = x.size() == y.size()](const Tensor& gy, Targets targets) {
    same ? accumulate("add", gy, targets, 1) : accumulate_rows("add", gy, targets, 1);
    if (wants(targets, 0) && !targets[0].adopt(gy)) accumulate("add", gy, targets, 0);
  });
  return out;
}

Tensor relu(const Tensor& x) {
  check_f32("relu", x);
  Tensor out = Tensor::empty(x.size(), x.dtype(), x.device());
  note_work(static_cast<double>(out.numel()), x, out);
  on_device(
      x.device(), [&] { elementwise_detail::relu_cpu(x.view(), out.view()); },
      [&](StreamHandle stream) { elementwise_detail::relu_cuda(x.view(), out.view(), stream); });
  autograd::record("relu", {&x, 1}, out, [out](const Tensor& gy, Targets targets) {
    const gradient_detail::Relu args{gy.view(), out.view(), gradient_of(targets, 0)};
    note_work(static_cast<double>(gy.numel()), gy, out, args.gradient.to);
    on_device(
        gy.device(), [&] { gradient_detail::relu_cpu(args); },
        [&](StreamHandle stream) { gradient_detail::relu_cuda(args, stream); });
  });
  return out;
}

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  const auto supported = [](DType type) { return type == DType::f32 || type == DType::bf16; };
  check<DTypeError>(supported(x.dtype()) && supported(dtype), "cast: from ", x.dtype(), " to ", dtype);
  check<ShapeError>(x.is_contiguous(), "cast: x must be contiguous; size ", x.size());
  Tensor out = Tensor::empty(x.size(), dtype, x.device());
  note_work(0, x, out);
  on_device(
      x.device(), [&] { cast_cpu(x.view(), out.view()); },
      [&](StreamHandle stream) {
        gradient_detail::accumulate_cuda({x.view(), {out.view(), 0}}, stream);
      });
  autograd::record("cast", {&x, 1}, out, [](const Tensor& gy, Targets targets) { accumulate("cast", gy, targets, 0); });
  return out;
}

Tensor repeat_batch(const Tensor& x, std::int64_t batch) {
  check_f32("repeat_batch", x);
  check<ShapeError>(x.rank() == 2, "repeat_batch: x must be [Q,C]; got ", x.size());
  Tensor out = Tensor::empty({batch, x.size(0), x.size(1)}, x.dtype(), x.device());
  note_work(0, x, out);
  on_device(
      x.device(),
      [&] {
        for (std::int64_t n = 0; n < batch; ++n)
          std::memcpy(out.data<float>() + n * x.numel(), x.data<float>(), x.nbytes());
      },
      [&](StreamHandle stream) {
        const Tensor repeated = Tensor::alias(x, out.size(), {0, x.size(1), 1});
        gradient_detail::accumulate_cuda({repeated.view(), {out.view(), 0}}, stream);
      });
  autograd::record("repeat_batch", {&x, 1}, out,
                   [](const Tensor& gy, Targets targets) { accumulate_rows("repeat_batch", gy, targets, 0); });
  return out;
}

Tensor softmax(const Tensor& x) {
  check_f32("softmax", x);
  Tensor out = Tensor::empty(x.size(), x.dtype(), x.device());
  note_work(5.0 * static_cast<double>(x.numel()), x, out);
  on_device(
      x.device(), [&] { softmax_cpu(x.view(), out.view()); },
      [&](StreamHandle stream) { softmax_cuda(x.view(), out.view(), stream); });
  autograd::record("softmax", {&x, 1}, out, [out](const Tensor& gy, Targets targets) {
    const Gradient gx = gradient_of(targets, 0);
    note_work(4.0 * static_cast<double>(gy.numel()), gy, out, gx.to);
    on_device(
        gy.device(), [&] { softmax_backward_cpu(gy.view(), out.view(), gx); },
        [&](StreamHandle stream) { softmax_backward_cuda(gy.view(), out.view(), gx, stream); });
  });
  return out;
}

Tensor permute(const Tensor& x, const Dims& order) {
  check<DTypeError>(x.dtype() == DType::f32, "permute: needs f32; got ", x.dtype());
  Dims size = order;
  bool seen[kMaxRank] = {};
  for (int i = 0; i < order.rank; ++i) {
    check<ShapeError>(order.rank == x.rank() && order[i] >= 0 && order[i] < x.rank() && !seen[order[i]],
                      "permute: ", order, " is no permutation of the axes of ", x.size());
    seen[order[i]] = true;
    size[i] = x.size(static_cast<int>(order[i]));
  }
  Tensor out = Tensor::empty(size, x.dtype(), x.device());
  note_work(0, x, out);
  on_device(
      x.device(), [&] { permute_cpu(x.view(), order, out.view()); },
      [&](StreamHandle stream) {
        Dims stride = order;
        for (int i = 0; i < order.rank; ++i) stride[i] = x.stride()[static_cast<int>(order[i])];
        gradient_detail::accumulate_cuda({Tensor::alias(x, size, stride).view(), {out.view(), 0}}, stream);
      });
  autograd::record("permute", {&x, 1}, out, [order, from = x.size()](const Tensor& gy, Targets targets) {
    Dims stride = from;
    for (int i = 0; i < order.rank; ++i) stride[static_cast<int>(order[i])] = gy.stride()[i];
    accumulate("permute", Tensor::alias(gy, from, stride), targets, 0);
  });
  return out;
}

Tensor mul_scalar(const Tensor& x, float factor) {
  check_f32("mul_scalar", x);
  Tensor out = Tensor::empty(x.size(), x.dtype(), x.device());
  const gradient_detail::Accumulate args{x.view(), {out.view(), 0}, factor};
  note_work(static_cast<double>(x.numel()), x, out);
  on_device(
      x.device(), [&] { gradient_detail::accumulate_cpu(args); },
      [&](StreamHandle stream) { gradient_detail::accumulate_cuda(args, stream); });
  autograd::record("mul_scalar", {&x, 1}, out,
                   [factor](const Tensor& gy, Targets targets) { accumulate("mul_scalar", gy, targets, 0, factor); });
  return out;
}

Tensor sum_all(const Tensor& x) {
  check_f32("sum_all", x);
  Tensor out = Tensor::empty({1}, DType::f32, x.device());
  note_work(static_cast<double>(x.numel()), x, out);
  on_device(
      x.device(), [&] { sum_all_cpu(x.view(), out.view()); },
      [&](StreamHandle stream) {
        sum_all_cuda(x.view(), Tensor::empty({kSumBlocks}, DType::f64, x.device()).view(), out.view(), stream);
      });
  autograd::record("sum_all", {&x, 1}, out, [size = x.size()](const Tensor& gy, Targets targets) {
    Dims repeat = size;
    for (int i = 0; i < repeat.rank; ++i) repeat[i] = 0;
    accumulate("sum_all", Tensor::alias(gy, size, repeat), targets, 0);
  });
  return out;
}

Tensor weighted_sum(std::span<const Tensor> terms, std::span<const float> weights) {
  check<ShapeError>(!terms.empty() && terms.size() == weights.size(), "weighted_sum: needs one weight a term; ",
                    terms.size(), " terms, ", weights.size(), " weights");
  for (const Tensor& term : terms) {
    check_f32("weighted_sum", term);
    check<ShapeError>(term.size() == terms[0].size(), "weighted_sum: terms of size ", terms[0].size(), " and ",
                      term.size());
  }
  Tensor out = Tensor::empty(terms[0].size(), DType::f32, terms[0].device());
  std::vector<const float*> data;
  for (const Tensor& term : terms) data.push_back(term.data<float>());
  note_work(2.0 * static_cast<double>(out.numel()) * static_cast<double>(terms.size()), terms, out);
  on_device(
      out.device(),
      [&] {
        for (std::int64_t i = 0; i < out.numel(); ++i) {
          double sum = 0;
          for (std::size_t t = 0; t < data.size(); ++t) sum += static_cast<double>(weights[t]) * data[t][i];
          out.data<float>()[i] = static_cast<float>(sum);
        }
      },
      [&](StreamHandle stream) {
        weighted_sum_cuda(data.data(), weights.data(), static_cast<int>(data.size()), out.view(), stream);
      });
  autograd::record("weighted_sum", terms, out,
                   [kept = std::vector<float>(weights.begin(), weights.end())](const Tensor& gy, Targets targets) {
                     for (std::size_t t = 0; t < kept.size(); ++t) accumulate("weighted_sum", gy, targets, t, kept[t]);
                   });
  return out;
}

}  // namespace visage::ops
