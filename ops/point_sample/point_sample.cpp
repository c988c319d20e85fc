#include "ops/point_sample/point_sample.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_of.h"
#include "ops/point_sample/point_sample_kernels.h"
#include "ops/shape/seen_as.h"
#include "tensor/cuda/determinism.h"

namespace visage::ops {
namespace {

void check_points(const char* op, const char* name, const Tensor& x, std::int64_t sets) {
  check<ShapeError>(x.rank() == 3 && x.size(0) == sets && x.size(2) == 2 && x.is_contiguous(), op, ": ", name,
                    " must be contiguous [", sets, ", P, 2]; got ", x.size());
  check<DTypeError>(x.dtype() == DType::f32, op, ": ", name, " must be f32; got ", x.dtype());
}

View points_view(const Tensor& points, std::int64_t images) {
  View view = points.view();
  if (points.size(0) != images) view.stride[0] = 0;
  return view;
}

/// `image` is the size of the features as [N,H,W,C].
Tensor run(const char* op, const Tensor& features, const Dims& image, const Tensor& points, const Dims& out_size) {
  check<ShapeError>(features.is_contiguous() && image[1] > 0 && image[2] > 0, op,
                    ": features must be contiguous and not empty; got ", features.size());
  check_points(op, "points", points, points.size(0) == 1 ? 1 : image[0]);
  const bool shared = points.size(0) != image[0];
  if (shared) autograd::not_differentiable("point_sample with points shared by several images", {points});
  if (features.dtype() != DType::f32) autograd::not_differentiable("point_sample of integers", {features, points});
  Tensor out = Tensor::empty(out_size, DType::f32, features.device());
  const PointSampleArgs forward{seen_as(features.view(), image), points_view(points, image[0]), out.view()};
  note_work(7.0 * static_cast<double>(out.numel()), out, out, out, out, points, out);
  on_device(
      features.device(), [&] { point_sample_cpu(forward); },
      [&](StreamHandle stream) { point_sample_cuda(forward, stream); });
  const Tensor inputs[] = {features, shared ? Tensor{} : points};
  autograd::record(op, inputs, out, [=](const Tensor& gy, std::span<const autograd::GradTarget> targets) {
    Gradient gfeatures = gradient_of(targets, 0);
    gfeatures.to.size = image;
    const Gradient gpoints = gradient_of(targets, 1);
    PointSampleBackwardArgs args{
        gy.view(), seen_as(features.view(), image), points_view(points, image[0]), gfeatures, gpoints, {}, {}};
    note_work(14.0 * static_cast<double>(gy.numel()), gy, gy, gy, gy, gy, points, gfeatures.to);
    on_device(
        gy.device(), [&] { point_sample_backward_cpu(args); },
        [&](StreamHandle stream) {
          Tensor sums, largest;
          if (gfeatures && cuda::deterministic()) {
            sums = Tensor::empty(image, DType::i64, gy.device());
            largest = Tensor::empty({1}, DType::i32, gy.device());
            args.sums = sums.view();
            args.largest = largest.view();
          }
          point_sample_backward_cuda(args, stream);
        });
  });
  return out;
}

}  // namespace

Tensor point_sample(const Tensor& features, const Tensor& points) {
  check<ShapeError>(features.rank() == 4 && points.rank() == 3, "point_sample: features must be [N,H,W,C] and points ",
                    "[N,P,2]; got ", features.size(), " and ", points.size());
  check<DTypeError>(features.dtype() == DType::f32, "point_sample: features must be f32; got ", features.dtype());
  return run("point_sample", features, features.size(), points, {features.size(0), points.size(1), features.size(3)});
}

Tensor point_sample_planes(const Tensor& planes, const Tensor& points) {
  check<ShapeError>(planes.rank() == 3 && points.rank() == 3, "point_sample_planes: planes must be [M,H,W] and points ",
                    "[M,P,2]; got ", planes.size(), " and ", points.size());
  check<DTypeError>(planes.dtype() == DType::f32 || planes.dtype() == DType::u8 || planes.dtype() == DType::boolean,
                    "point_sample_planes: planes must be f32, u8 or bool; got ", planes.dtype());
  return run("point_sample_planes", planes, {planes.size(0), planes.size(1), planes.size(2), 1}, points,
             {planes.size(0), points.size(1)});
}

Tensor uncertain_points(const Tensor& logits, const Tensor& candidates, const Tensor& random, std::int64_t points) {
  check<ShapeError>(logits.rank() == 3, "uncertain_points: logits must be [M,H,W]; got ", logits.size());
  check_points("uncertain_points", "candidates", candidates, logits.size(0));
  check_points("uncertain_points", "random", random, logits.size(0));
  check<ShapeError>(random.size(1) <= points && points <= candidates.size(1) + random.size(1),
                    "uncertain_points: ", points, " points cannot be chosen from ", candidates.size(1),
                    " candidates and ", random.size(1), " random ones");
  autograd::not_differentiable("uncertain_points", {logits, candidates, random});
  Tensor out = Tensor::empty({logits.size(0), points, 2}, DType::f32, logits.device());
  const Tensor at = point_sample_planes(logits, candidates);
  const UncertainPointsArgs args{at.view(), candidates.view(), random.view(), out.view()};
  note_work(0, at, candidates, random, out);
  on_device(
      logits.device(), [&] { uncertain_points_cpu(args); },
      [&](StreamHandle stream) { uncertain_points_cuda(args, stream); });
  return out;
}

}  // namespace visage::ops
