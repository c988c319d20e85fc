#include "ops/attention/masked_attention.h"

#include "ops/attention/masked_attention_kernels.h"
#include "ops/dispatch.h"
#include "ops/gradient/gradient_of.h"
#include "tensor/cpu/features.h"
#include "tensor/cuda/splits.h"

#include <cmath>
#include <utility>

namespace visage::ops {
namespace {

void check_rows(const char* name, const Tensor& x) {
  check<ShapeError>(x.rank() == 3 && x.numel() > 0 && x.stride()[2] == 1, "masked_attention: ", name,
                    " must be [N, rows, C], not empty, with contiguous rows; got ", x.size(), ", stride ", x.stride());
  check<DTypeError>(x.dtype() == DType::f32 || x.dtype() == DType::bf16, "masked_attention: ", name,
                    " must be f32 or bf16; got ", x.dtype());
}

void check_option(const char* name, const Tensor& x, const Dims& size, DType dtype) {
  if (!x) return;
  check<ShapeError>(x.size() == size && x.is_contiguous(), "masked_attention: ", name, " must be contiguous ", size,
                    "; got ", x.size(), ", stride ", x.stride());
  check<DTypeError>(x.dtype() == dtype, "masked_attention: ", name, " must be ", dtype, "; got ", x.dtype());
}

void check_scores(const AttentionOptions& options, std::int64_t batch, std::int64_t queries, std::int64_t keys) {
  check<ShapeError>(static_cast<bool>(options.score_y) == static_cast<bool>(options.score_x),
                    "masked_attention: score_y and score_x go together");
  if (!options.score_y) return;
  const std::int64_t height = options.score_y.size(-1), width = options.score_x.size(-1);
  check_option("score_y", options.score_y, {batch, options.heads, queries, height}, DType::f32);
  check_option("score_x", options.score_x, {batch, options.heads, queries, width}, DType::f32);
  check<ShapeError>(height * width == keys, "masked_attention: score_y and score_x describe ", height, " x ", width,
                    " keys; L is ", keys);
}

void check_devices(const Tensor& q, std::initializer_list<Tensor> others) {
  for (const Tensor& x : others)
    check<DeviceError>(!x || x.device() == q.device(), "masked_attention: all inputs must be on one device");
}

View view_of(const Tensor& x) { return x ? x.view() : View{}; }

/// Whether the call is recorded; refuses what the backward cannot do.
bool wants_gradient(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  autograd::not_differentiable("masked_attention (masks and score terms)",
                               {options.blocked, options.allowed, options.score_y, options.score_x});
  const Tensor inputs[] = {q, k, v};
  if (!autograd::needs_grad(inputs)) return false;
  const bool plain = q.dtype() == DType::f32 && k.dtype() == DType::f32 && v.dtype() == DType::f32 &&
                     options.out == DType::f32 && !options.score_y;
  check<AutogradError>(plain, "masked_attention: the backward is for f32 and without score terms; got q ", q.dtype(),
                       ", k ", k.dtype(), ", v ", v.dtype(), ", out ", options.out);
  return true;
}

MaskedAttentionArgs make_args(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
                              const Tensor& out, const Tensor& lse) {
  const auto dim = static_cast<float>(q.size(2)) / static_cast<float>(options.heads);
  return {q.view(),
          k.view(),
          v.view(),
          view_of(options.blocked),
          view_of(options.allowed),
          view_of(options.score_y),
          view_of(options.score_x),
          view_of(out),
          options.heads,
          options.scale != 0 ? options.scale : 1 / std::sqrt(dim),
          view_of(options.sees_any),
          view_of(lse)};
}

struct Scratch {
  Tensor visible, partial, stats;
  AttentionScratch view() const { return {view_of(visible), view_of(partial), view_of(stats)}; }
};

/// Blocks a head of one image takes: 32 of its channels each.
std::int64_t channel_blocks(const MaskedAttentionArgs& args) {
  return args.q.size[0] * args.heads * ((args.q.size[2] / args.heads + 31) / 32);
}

std::int64_t key_tiles(const MaskedAttentionArgs& args) { return (args.k.size[1] + 63) / 64; }

Tensor visible_scratch(const MaskedAttentionArgs& args, Device device) {
  if (!args.blocked && !args.allowed) return {};
  return Tensor::empty({args.q.size[0], args.q.size[1], key_tiles(args)}, DType::i64, device);
}

Scratch forward_scratch(const MaskedAttentionArgs& args, bool mma, Device device) {
  Scratch scratch{args.sees_any ? Tensor{} : visible_scratch(args, device), {}, {}};
  const std::int64_t batch = args.q.size[0], queries = args.q.size[1];
  const std::int64_t blocks = mma ? batch * args.heads * ((queries + kAttentionMmaQueries - 1) / kAttentionMmaQueries)
                                  : channel_blocks(args) * ((queries + kAttentionQueries - 1) / kAttentionQueries);
  const std::int64_t splits = cuda::split_count(blocks, key_tiles(args));
  if (splits == 1) return scratch;
  scratch.partial = Tensor::empty({splits, batch, queries, args.q.size[2]}, DType::f32, device);
  scratch.stats = Tensor::empty({2, splits, batch, args.heads, queries}, DType::f32, device);
  return scratch;
}

Scratch backward_scratch(const MaskedAttentionArgs& args, Device device) {
  const std::int64_t splits = cuda::split_count(channel_blocks(args), key_tiles(args));
  return {visible_scratch(args, device),
          Tensor::empty({splits, args.q.size[0], args.q.size[1], args.q.size[2]}, DType::f32, device),
          Tensor::empty(args.lse.size, DType::f32, device)};
}

/// Kernels write gk, gv and then gq; `targets` are asked for in the order q, k, v. Where a tensor is given twice, the
/// gradient that is written first is the one to overwrite what was there.
void order_writes(MaskedAttentionBackwardArgs& back) {
  for (Gradient* first : {&back.gk, &back.gv}) {
    if (!back.gq || back.gq.to.data != first->to.data) continue;
    std::swap(back.gq.beta, first->beta);
    return;
  }
}

/// Operations of one product of every query with every key.
double products(const Tensor& q, const Tensor& k) {
  return 2.0 * static_cast<double>(q.numel()) * static_cast<double>(k.size(1));
}

autograd::Backward make_backward(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
                                 const Tensor& out, const Tensor& lse) {
  return [=](const Tensor& gy, std::span<const autograd::GradTarget> targets) {
    const MaskedAttentionArgs args = make_args(q, k, v, options, out, lse);
    MaskedAttentionBackwardArgs back{args, gy.view(), {}, {}, {}};
    back.gq = gradient_of(targets, 0);
    back.gk = gradient_of(targets, 1);
    back.gv = gradient_of(targets, 2);
    order_writes(back);
    note_work(5 * products(q, k), gy, q, k, v, out, back.gq.to, back.gk.to, back.gv.to);
    on_device(
        gy.device(), [&] { masked_attention_backward_cpu(back); },
        [&](StreamHandle stream) {
          masked_attention_backward_cuda(back, backward_scratch(args, gy.device()).view(), stream);
        });
  };
}

void check_inputs(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  check_rows("q", q);
  check_rows("k", k);
  check_rows("v", v);
  const std::int64_t batch = q.size(0), queries = q.size(1), channels = q.size(2), keys = k.size(1);
  check<ShapeError>(k.size(0) == batch && k.size(2) == channels && v.size() == k.size(),
                    "masked_attention: k and v must be [", batch, ", L, ", channels, "]; got ", k.size(), " and ",
                    v.size());
  check<ShapeError>(options.heads > 0 && channels % options.heads == 0, "masked_attention: ", channels,
                    " channels cannot be split into ", options.heads, " heads");
  check<ShapeError>(!(options.blocked && options.allowed), "masked_attention: give blocked or allowed, not both");
  check_option("blocked", options.blocked, {batch, queries, keys}, DType::u8);
  check_option("allowed", options.allowed, {batch, queries, (keys + 63) / 64}, DType::i64);
  check_option("sees_any", options.sees_any, {batch, queries}, DType::i32);
  check<ShapeError>(!options.sees_any || options.allowed, "masked_attention: sees_any goes with allowed");
  check_scores(options, batch, queries, keys);
  check_devices(q, {k, v, options.blocked, options.allowed, options.sees_any, options.score_y, options.score_x});
  check<DTypeError>(options.out == DType::f32 || options.out == DType::bf16,
                    "masked_attention: out must be f32 or bf16; got ", options.out);
}

}  // namespace

Tensor masked_attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  check_inputs(q, k, v, options);
  const bool recorded = wants_gradient(q, k, v, options);
  Tensor out = Tensor::empty(q.size(), options.out, q.device());
  const Tensor lse = recorded ? Tensor::empty({q.size(0), options.heads, q.size(1)}, DType::f32, q.device()) : Tensor{};
  const MaskedAttentionArgs args = make_args(q, k, v, options, out, lse);
  note_work(2 * products(q, k), q, k, v, options.blocked, options.allowed, out);
  on_device(
      q.device(),
      [&] {
        if (cpu::features().avx512 && masked_attention_fits_avx512(args))
          masked_attention_avx512(args);
        else
          masked_attention_cpu(args);
      },
      [&](StreamHandle stream) {
        const Scratch scratch = forward_scratch(args, masked_attention_fits_mma(args), q.device());
        masked_attention_cuda(args, scratch.view(), stream);
      });
  if (recorded) {
    const Tensor inputs[] = {q, k, v};
    autograd::record("masked_attention", inputs, out, make_backward(q, k, v, options, out, lse));
  }
  return out;
}

AttentionParts masked_attention_parts(const Tensor& q, const Tensor& k, const Tensor& v,
                                      const AttentionOptions& options) {
  AttentionOptions f32 = options;
  f32.out = DType::f32;
  autograd::not_differentiable("masked_attention_parts", {q, k, v});
  if (q.device().type == DeviceType::cpu) return {masked_attention(q, k, v, f32), {}, {}};
  check_inputs(q, k, v, f32);
  AttentionParts parts;
  note_work(2 * products(q, k), q, k, v, options.blocked, options.allowed);
  on_device(
      q.device(), [] {},
      [&](StreamHandle stream) {
        MaskedAttentionArgs args = make_args(q, k, v, f32, {}, {});
        const Scratch scratch = forward_scratch(args, masked_attention_fits_mma(args), q.device());
        parts = {{}, scratch.partial, scratch.stats};
        if (!scratch.partial) parts.out = Tensor::empty(q.size(), DType::f32, q.device());
        args.out = view_of(parts.out);
        masked_attention_cuda(args, scratch.view(), stream);
      });
  return parts;
}

}  // namespace visage::ops
