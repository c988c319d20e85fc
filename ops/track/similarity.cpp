#include "ops/track/similarity.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/track/similarity_kernels.h"

namespace visage::ops {
namespace {

void check_rows(const char* op, const char* name, const Tensor& x) {
  check<ShapeError>(x && x.rank() == 2 && x.is_contiguous(), op, ": ", name,
                    " must be contiguous [rows, channels]; got ", x ? x.size() : Dims{});
  check<DTypeError>(x.dtype() == DType::f32, op, ": ", name, " must be f32; got ", x.dtype());
}

void check_pair(const char* op, const Tensor& a, const Tensor& b) {
  check<ShapeError>(a.size(1) == b.size(1), op, ": rows must have the same channels; got ", a.size(), " and ",
                    b.size());
  check<DeviceError>(a.device() == b.device(), op, ": inputs must be on one device");
}

}  // namespace

Tensor cosine_similarity(const Tensor& a, const Tensor& b) {
  check_rows("cosine_similarity", "a", a);
  check_rows("cosine_similarity", "b", b);
  check_pair("cosine_similarity", a, b);
  autograd::not_differentiable("cosine_similarity", {a, b});
  Tensor out = Tensor::empty({a.size(0), b.size(0)}, DType::f32, a.device());
  const CosineArgs args{.a = a.view(), .b = b.view(), .out = out.view()};
  note_work(2.0 * static_cast<double>(out.numel()) * static_cast<double>(a.size(1)), a, b, out);
  on_device(
      a.device(), [&] { cosine_cpu(args); }, [&](StreamHandle stream) { similarity_cuda(args, {}, stream); });
  return out;
}

Tensor track_similarity(const TrackSimilarityInputs& inputs) {
  constexpr const char* op = "track_similarity";
  const auto& [object_memory, object, appearance_memory, appearance, alpha] = inputs;
  check_rows(op, "object_memory", object_memory);
  check_rows(op, "object", object);
  check_rows(op, "appearance_memory", appearance_memory);
  check_rows(op, "appearance", appearance);
  check_pair(op, object_memory, object);
  check_pair(op, appearance_memory, appearance);
  check<ShapeError>(object_memory.size(0) == appearance_memory.size(0) && object.size(0) == appearance.size(0), op,
                    ": object and appearance must have the same slots and queries; got ", object_memory.size(0),
                    " and ", appearance_memory.size(0), " slots, ", object.size(0), " and ", appearance.size(0),
                    " queries");
  check<DeviceError>(object.device() == appearance.device(), op, ": inputs must be on one device");
  check(alpha >= 0 && alpha <= 1, op, ": alpha must be from 0 to 1; got ", alpha);
  autograd::not_differentiable(op, {object_memory, object, appearance_memory, appearance});
  Tensor out = Tensor::empty({object_memory.size(0), object.size(0)}, DType::f32, object.device());
  const float weight = static_cast<float>(alpha);
  const CosineArgs first{.a = object_memory.view(), .b = object.view(), .out = out.view(), .weight = 1 - weight};
  const CosineArgs second{
      .a = appearance_memory.view(), .b = appearance.view(), .out = out.view(), .weight = weight, .beta = 1};
  note_work(2.0 * static_cast<double>(out.numel()) * static_cast<double>(object.size(1) + appearance.size(1)),
            object_memory, object, appearance_memory, appearance, out);
  on_device(
      object.device(),
      [&] {
        cosine_cpu(first);
        cosine_cpu(second);
      },
      [&](StreamHandle stream) { similarity_cuda(first, second, stream); });
  return out;
}

}  // namespace visage::ops
