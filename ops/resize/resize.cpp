#include "ops/resize/resize.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/gradient/gradient_of.h"
#include "ops/resize/resize_kernels.h"
#include "ops/shape/seen_as.h"

namespace visage::ops {
namespace {

bool is_float(const Tensor& x) { return x.dtype() == DType::f32 || x.dtype() == DType::bf16; }

void check_image(const char* op, const char* name, const Tensor& x) {
  check<ShapeError>(x.rank() == 4 && x.numel() > 0 && x.stride()[3] == 1, op, ": ", name,
                    " must be [N,H,W,C], not empty, with contiguous channels; got ", x.size(), ", stride ", x.stride());
  check<DTypeError>(is_float(x), op, ": ", name, " must be f32 or bf16; got ", x.dtype());
}

/// `in` and `out` are the sizes as images; those of planes have one channel.
autograd::Backward make_backward(const Dims& in, const Dims& out) {
  return [=](const Tensor& gy, std::span<const autograd::GradTarget> targets) {
    Gradient gx = gradient_of(targets, 0);
    gx.to = seen_as(gx.to, in);
    const ResizeBackwardArgs args{seen_as(gy.view(), out), gx};
    note_work(7.0 * static_cast<double>(gy.numel()), gy, args.gx.to);
    on_device(
        gy.device(), [&] { resize_bilinear_backward_cpu(args); },
        [&](StreamHandle stream) { resize_bilinear_backward_cuda(args, stream); });
  };
}

}  // namespace

Tensor resize_bilinear(const Tensor& x, std::int64_t height, std::int64_t width) {
  check_image("resize_bilinear", "x", x);
  check<DTypeError>(x.dtype() == DType::f32, "resize_bilinear: x must be f32; got ", x.dtype());
  check<ShapeError>(height > 0 && width > 0, "resize_bilinear: cannot resize to ", height, " x ", width);
  Tensor out = Tensor::empty({x.size(0), height, width, x.size(3)}, DType::f32, x.device());
  note_work(7.0 * static_cast<double>(out.numel()), x, out);
  on_device(
      x.device(),
      [&] {
        resize_bilinear_cpu({x.view(), out.view()});
      },
      [&](StreamHandle stream) {
        resize_bilinear_cuda({x.view(), out.view()}, stream);
      });
  autograd::record("resize_bilinear", std::span(&x, 1), out, make_backward(x.size(), out.size()));
  return out;
}

Tensor resize_bilinear_planes(const Tensor& x, std::int64_t height, std::int64_t width) {
  check<ShapeError>(x.rank() >= 2 && x.numel() > 0 && x.is_contiguous(),
                    "resize_bilinear_planes: x must be contiguous [..., H, W], not empty; got ", x.size());
  check<DTypeError>(x.dtype() == DType::f32, "resize_bilinear_planes: x must be f32; got ", x.dtype());
  check<ShapeError>(height > 0 && width > 0, "resize_bilinear_planes: cannot resize to ", height, " x ", width);
  Dims size = x.size();
  size[-2] = height;
  size[-1] = width;
  Tensor out = Tensor::empty(size, DType::f32, x.device());
  const std::int64_t planes = x.numel() / (x.size(-2) * x.size(-1));
  const Dims from{planes, x.size(-2), x.size(-1), 1}, to{planes, height, width, 1};
  const ResizeArgs args{seen_as(x.view(), from), seen_as(out.view(), to)};
  note_work(7.0 * static_cast<double>(out.numel()), x, out);
  on_device(
      x.device(), [&] { resize_bilinear_planes_cpu(args); },
      [&](StreamHandle stream) { resize_bilinear_cuda(args, stream); });
  autograd::record("resize_bilinear_planes", std::span(&x, 1), out, make_backward(from, to));
  return out;
}

void upsample2x_add(const Tensor& low, const Tensor& y) {
  check_image("upsample2x_add", "low", low);
  check_image("upsample2x_add", "y", y);
  check<ShapeError>(y.size() == Dims{low.size(0), 2 * low.size(1), 2 * low.size(2), low.size(3)},
                    "upsample2x_add: y must be twice the size of low; got low ", low.size(), ", y ", y.size());
  autograd::not_differentiable("upsample2x_add", {low, y});
  note_work(8.0 * static_cast<double>(y.numel()), low, y, y);
  on_device(
      y.device(),
      [&] {
        upsample2x_add_cpu({low.view(), y.view()});
      },
      [&](StreamHandle stream) {
        upsample2x_add_cuda({low.view(), y.view()}, stream);
      });
  y.storage()->bump_version();
}

std::vector<Tensor> pool_center(const Tensor& y, std::initializer_list<std::int64_t> ratios) {
  check_image("pool_center", "y", y);
  check<ShapeError>(ratios.size() > 0 && ratios.size() <= kMostRatios, "pool_center: needs 1 to ", kMostRatios,
                    " ratios; got ", ratios.size());
  autograd::not_differentiable("pool_center", {y});
  std::vector<Tensor> maps;
  std::vector<PoolCenterArgs> args;
  for (const std::int64_t ratio : ratios) {
    check<ShapeError>((ratio == 2 || ratio == 4 || ratio == 8) && y.size(1) % ratio == 0 && y.size(2) % ratio == 0,
                      "pool_center: ratio must be 2, 4 or 8 and divide height and width; got ratio ", ratio, ", y ",
                      y.size());
    maps.push_back(Tensor::empty({y.size(0), y.size(1) / ratio, y.size(2) / ratio, y.size(3)}, y.dtype(), y.device()));
    args.push_back({y.view(), maps.back().view(), ratio});
  }
  std::int64_t count = 0;
  for (const Tensor& map : maps) count += map.numel();
  const std::span<const Tensor> all(maps);
  note_work(4.0 * static_cast<double>(count), all, all, all, all, all);
  on_device(
      y.device(),
      [&] {
        for (const PoolCenterArgs& one : args) pool_center_cpu(one);
      },
      [&](StreamHandle stream) { pool_center_cuda(args.data(), static_cast<int>(args.size()), stream); });
  return maps;
}

}  // namespace visage::ops
