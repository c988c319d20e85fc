#include "ops/deform_attention/sampling_locations.h"

#include "ops/deform_attention/levels.h"
#include "ops/deform_attention/sampling_locations_kernels.h"
#include "ops/dispatch.h"
#include "ops/gradient/gradient_of.h"

namespace visage::ops {

Tensor sampling_locations(const Tensor& offsets, std::span<const LevelShape> shapes, std::int64_t heads,
                          std::int64_t points) {
  SamplingLocationsArgs args{};
  const std::int64_t length = set_levels("sampling_locations", shapes, args.level);
  args.levels = std::ssize(shapes);
  args.points = points;
  args.columns = heads * args.levels * points * 2;
  check<ShapeError>(offsets.rank() == 3 && offsets.size(1) == length && offsets.size(2) == args.columns &&
                        offsets.is_contiguous() && offsets.dtype() == DType::f32,
                    "sampling_locations: offsets must be f32 [N, ", length, ", ", args.columns, "]; got ",
                    offsets.size());
  args.rows = offsets.size(0) * length;
  Tensor out = Tensor::empty({offsets.size(0), length, heads, args.levels, points, 2}, DType::f32, offsets.device());
  args.from = offsets.view();
  args.to = {out.view()};
  note_work(2.0 * static_cast<double>(out.numel()), offsets, out);
  on_device(
      offsets.device(), [&] { sampling_locations_cpu(args); },
      [&](StreamHandle stream) { sampling_locations_cuda(args, stream); });
  const Tensor inputs[] = {offsets};
  autograd::record("sampling_locations", inputs, out,
                   [args](const Tensor& gy, std::span<const autograd::GradTarget> targets) {
                     SamplingLocationsArgs back = args;
                     back.from = gy.view();
                     back.to = gradient_of(targets, 0);
                     if (!back.to) return;
                     note_work(static_cast<double>(gy.numel()), gy, back.to.to);
                     on_device(
                         gy.device(), [&] { sampling_locations_backward_cpu(back); },
                         [&](StreamHandle stream) { sampling_locations_backward_cuda(back, stream); });
                   });
  return out;
}

}  // namespace visage::ops
