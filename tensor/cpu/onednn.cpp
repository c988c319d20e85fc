#include "tensor/cpu/onednn.h"

#include "tensor/cpu/features.h"
#include "tensor/cpu/parallel.h"

#include <oneapi/dnnl/dnnl.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <mutex>
#include <sstream>
#include <unordered_map>
#include <vector>

namespace visage::cpu::onednn {
namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

Type type_of(const Tensor& tensor) {
  check<DTypeError>(tensor.dtype() == DType::f32 || tensor.dtype() == DType::bf16, "onednn: no support for ",
                    tensor.dtype());
  return tensor.dtype() == DType::f32 ? Type::f32 : Type::bf16;
}

Desc strided(const Tensor& t) {
  const Dims& s = t.size();
  const Dims& p = t.stride();
  return {dnnl::memory::dims(s.d, s.d + s.rank), type_of(t), dnnl::memory::dims(p.d, p.d + p.rank)};
}

// [.., N, K] seen as the [.., K, N] operand of a product.
Desc strided_transposed(const Tensor& t) {
  dnnl::memory::dims size(t.size().d, t.size().d + t.rank()), stride(t.stride().d, t.stride().d + t.rank());
  std::swap(size[size.size() - 1], size[size.size() - 2]);
  std::swap(stride[stride.size() - 1], stride[stride.size() - 2]);
  return {size, type_of(t), stride};
}

Desc image(const Tensor& t, Type type) { return {{t.size(0), t.size(3), t.size(1), t.size(2)}, type, Tag::nhwc}; }
Desc image(const Tensor& t) { return image(t, type_of(t)); }

// The result is added to beta times what is there.
dnnl::primitive_attr sum_attributes(float beta) {
  dnnl::post_ops post;
  if (beta != 0.f) post.append_sum(beta);
  dnnl::primitive_attr attr;
  attr.set_post_ops(post);
  return attr;
}

dnnl::primitive_attr attributes(Activation activation, float beta) {
  dnnl::post_ops post;
  if (beta != 0.f) post.append_sum(beta);
  if (activation == Activation::relu) {
#if DNNL_VERSION_MAJOR >= 3
    post.append_eltwise(dnnl::algorithm::eltwise_relu, 0.f, 0.f);
#else
    post.append_eltwise(1.f, dnnl::algorithm::eltwise_relu, 0.f, 0.f);
#endif
  }
  dnnl::primitive_attr attr;
  attr.set_post_ops(post);
  // The scratchpad is ours, so that one primitive may run on several threads at once.
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

struct Primitive {
  dnnl::primitive run;
  Desc source, weights, bias, destination, scratchpad;
  std::string implementation;
  dnnl::reorder to_plain;  // of a gradient of weights: from the layout of `weights` to ours
};

template <class PrimitiveDesc, class Op>
Primitive finish(const PrimitiveDesc& desc, bool has_bias) {
  return {Op(desc),
          desc.src_desc(),
          desc.weights_desc(),
          has_bias ? desc.query_md(dnnl::query::weights_md, 1) : Desc(),
          desc.dst_desc(),
          desc.scratchpad_desc(),
          desc.impl_info_str(),
          {}};
}

Primitive make_convolution(const Convolution& a) {
  const Desc weights({a.weight.size(0), a.weight.size(3), a.weight.size(1), a.weight.size(2)}, type_of(a.x), Tag::any);
  const Desc bias = a.bias ? Desc({a.weight.size(0)}, Type::f32, Tag::x) : Desc();
  const dnnl::memory::dims stride{a.stride, a.stride}, padding{a.padding, a.padding};
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto algorithm = dnnl::algorithm::convolution_direct;
  const dnnl::primitive_attr attr = attributes(a.activation, a.beta);
  using Op = dnnl::convolution_forward;
#if DNNL_VERSION_MAJOR >= 3
  const auto desc = a.bias ? Op::primitive_desc(engine(), kind, algorithm, image(a.x), weights, bias, image(a.y),
                                                stride, padding, padding, attr)
                           : Op::primitive_desc(engine(), kind, algorithm, image(a.x), weights, image(a.y), stride,
                                                padding, padding, attr);
#else
  const auto op = a.bias ? Op::desc(kind, algorithm, image(a.x), weights, bias, image(a.y), stride, padding, padding)
                         : Op::desc(kind, algorithm, image(a.x), weights, image(a.y), stride, padding, padding);
  const Op::primitive_desc desc(op, attr, engine());
#endif
  return finish<Op::primitive_desc, Op>(desc, static_cast<bool>(a.bias));
}

Primitive make_product(const Desc& a, const Desc& b, const Desc& bias, const Desc& y,
                       const dnnl::primitive_attr& attr) {
  using Op = dnnl::matmul;
  const bool has_bias = bias != Desc();
#if DNNL_VERSION_MAJOR >= 3
  const auto desc =
      has_bias ? Op::primitive_desc(engine(), a, b, bias, y, attr) : Op::primitive_desc(engine(), a, b, y, attr);
#else
  const Op::primitive_desc desc(has_bias ? Op::desc(a, b, bias, y) : Op::desc(a, b, y), attr, engine());
#endif
  return finish<Op::primitive_desc, Op>(desc, has_bias);
}

Primitive make_batched(const BatchedProduct& a) {
  return make_product(strided(a.a), strided_transposed(a.b), Desc(), strided(a.y),
                      attributes(Activation::none, a.beta));
}

// The backward primitives ask for the forward one they belong to. Its weights may be in any layout.
dnnl::convolution_forward::primitive_desc forward_hint(const Desc& x, const Desc& weights, const Desc& y,
                                                       const dnnl::memory::dims& stride,
                                                       const dnnl::memory::dims& padding) {
  const auto kind = dnnl::prop_kind::forward_training;
  const auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), kind, algorithm, x, weights, y, stride, padding, padding};
#else
  return {{kind, algorithm, x, weights, y, stride, padding, padding}, engine()};
#endif
}

Primitive make_backward_data(const ConvolutionBackwardData& a) {
  const Desc weights({a.weight.size(0), a.weight.size(3), a.weight.size(1), a.weight.size(2)}, type_of(a.gy), Tag::any);
  const dnnl::memory::dims stride{a.stride, a.stride}, padding{a.padding, a.padding};
  const auto hint = forward_hint(image(a.gx, type_of(a.gy)), weights, image(a.gy), stride, padding);
  const auto algorithm = dnnl::algorithm::convolution_direct;
  const dnnl::primitive_attr attr = attributes(Activation::none, 0.f);
  using Op = dnnl::convolution_backward_data;
#if DNNL_VERSION_MAJOR >= 3
  const Op::primitive_desc desc(engine(), algorithm, image(a.gx), weights, image(a.gy), stride, padding, padding, hint,
                                attr);
#else
  const Op::primitive_desc desc({algorithm, image(a.gx), weights, image(a.gy), stride, padding, padding}, attr,
                                engine(), hint);
#endif
  return {Op(desc),
          desc.diff_src_desc(),
          desc.weights_desc(),
          Desc(),
          desc.diff_dst_desc(),
          desc.scratchpad_desc(),
          desc.impl_info_str(),
          {}};
}

Desc plain_convolution_weight(const Tensor& w) {
  const std::int64_t o = w.size(0), h = w.size(1), v = w.size(2), i = w.size(3);
  return {{o, i, h, v}, Type::f32, dnnl::memory::dims{h * v * i, 1, v * i, i}};
}

Primitive make_backward_weights(const ConvolutionBackwardWeights& a) {
  const dnnl::memory::dims size{a.gweight.size(0), a.gweight.size(3), a.gweight.size(1), a.gweight.size(2)};
  const dnnl::memory::dims stride{a.stride, a.stride}, padding{a.padding, a.padding};
  const auto hint = forward_hint(image(a.x), Desc(size, type_of(a.x), Tag::any), image(a.gy), stride, padding);
  const Desc weights(size, Type::f32, Tag::any);
  const auto algorithm = dnnl::algorithm::convolution_direct;
  const dnnl::primitive_attr attr = attributes(Activation::none, 0.f);
  using Op = dnnl::convolution_backward_weights;
#if DNNL_VERSION_MAJOR >= 3
  const Op::primitive_desc desc(engine(), algorithm, image(a.x), weights, image(a.gy), stride, padding, padding, hint,
                                attr);
#else
  const Op::primitive_desc desc({algorithm, image(a.x), weights, image(a.gy), stride, padding, padding}, attr, engine(),
                                hint);
#endif
  return {Op(desc),
          desc.src_desc(),
          desc.diff_weights_desc(),
          Desc(),
          desc.diff_dst_desc(),
          desc.scratchpad_desc(),
          desc.impl_info_str(),
          dnnl::reorder({engine(), desc.diff_weights_desc(), engine(), plain_convolution_weight(a.gweight),
                         sum_attributes(a.beta)})};
}

Primitive make_linear(const Linear& a) {
  const std::int64_t n = a.weight.size(0), k = a.weight.size(1);
  return make_product(strided(a.x), Desc({k, n}, type_of(a.x), Tag::any),
                      a.bias ? Desc({1, n}, Type::f32, Tag::ab) : Desc(), strided(a.y),
                      attributes(a.activation, a.beta));
}

// Everything a primitive depends on. The number of threads is part of it: oneDNN bakes it into its blocking.
using Key = std::vector<std::int64_t>;

void append(Key& key, const Tensor& t) {
  if (!t) return key.push_back(-1);
  key.push_back(static_cast<int>(t.dtype()));
  key.insert(key.end(), t.size().d, t.size().d + t.rank());
  key.insert(key.end(), t.stride().d, t.stride().d + t.rank());
}

Key key_of(const Convolution& a) {
  Key key{0, num_threads(), a.stride, a.padding, static_cast<int>(a.activation), std::bit_cast<std::int32_t>(a.beta)};
  for (const Tensor* t : {&a.x, &a.weight, &a.bias, &a.y}) append(key, *t);
  return key;
}
Key key_of(const Linear& a) {
  Key key{1, num_threads(), static_cast<int>(a.activation), std::bit_cast<std::int32_t>(a.beta)};
  for (const Tensor* t : {&a.x, &a.weight, &a.bias, &a.y}) append(key, *t);
  return key;
}
Key key_of(const BatchedProduct& a) {
  Key key{2, num_threads(), std::bit_cast<std::int32_t>(a.beta)};
  for (const Tensor* t : {&a.a, &a.b, &a.y}) append(key, *t);
  return key;
}
Key key_of(const ConvolutionBackwardData& a) {
  Key key{3, num_threads(), a.stride, a.padding};
  for (const Tensor* t : {&a.gy, &a.weight, &a.gx}) append(key, *t);
  return key;
}
Key key_of(const ConvolutionBackwardWeights& a) {
  Key key{4, num_threads(), a.stride, a.padding, std::bit_cast<std::int32_t>(a.beta)};
  for (const Tensor* t : {&a.x, &a.gy, &a.gweight}) append(key, *t);
  return key;
}

// A weight in the layout some primitive asked for. Valid while the storage lives and has not been written.
struct Packed {
  std::weak_ptr<Storage> storage;
  std::uint64_t version;
  const void* data;
  dnnl::memory memory;
  dnnl::reorder pack;
};

std::string describe(const Tensor& t) {
  std::ostringstream text;
  if (t) text << ' ' << t.dtype() << t.size();
  return text.str();
}
std::string describe(const Convolution& a) {
  return "convolution of" + describe(a.x) + " with" + describe(a.weight) + " into" + describe(a.y);
}
std::string describe(const Linear& a) {
  return "product of" + describe(a.x) + " with" + describe(a.weight) + " into" + describe(a.y);
}
std::string describe(const BatchedProduct& a) {
  return "batched product of" + describe(a.a) + " with" + describe(a.b) + " into" + describe(a.y);
}
std::string describe(const ConvolutionBackwardData& a) {
  return "convolution gradient of" + describe(a.gy) + " with" + describe(a.weight) + " into" + describe(a.gx);
}
std::string describe(const ConvolutionBackwardWeights& a) {
  return "convolution gradient of" + describe(a.x) + " with" + describe(a.gy) + " into" + describe(a.gweight);
}

template <class Args, class Make>
Primitive checked(const Args& args, Make&& make) {
  try {
    return make(args);
  } catch (const dnnl::error& error) {
    fail("onednn: this machine has no ", describe(args), ": ", error.what());
  }
}

// A network at one input size needs about 150.
constexpr std::size_t kMostPrimitives = 2048;

class Caches {
 public:
  template <class Args, class Make>
  std::shared_ptr<const Primitive> primitive(const Args& args, Make&& make) {
    const Key key = key_of(args);
    const std::lock_guard lock(mutex_);
    if (primitives_.size() >= kMostPrimitives)
      primitives_.clear();  // sizes keep changing: better to plan again than to grow
    auto& slot = primitives_[key];
    if (!slot) slot = std::make_shared<const Primitive>(checked(args, make));
    return slot;
  }

  // `plain` describes the elements of `weight` as they lie in memory.
  dnnl::memory packed(const Tensor& weight, const Desc& plain, const Desc& wanted, dnnl::stream& stream) {
    const std::lock_guard lock(mutex_);
    const Storage* storage = weight.storage().get();
    auto& entries = packed_[storage];
    std::erase_if(entries, [](const Packed& p) { return p.storage.expired(); });
    const void* data = weight.view().data;
    auto entry = std::find_if(entries.begin(), entries.end(),
                              [&](const Packed& p) { return p.data == data && p.memory.get_desc() == wanted; });
    if (entry != entries.end() && entry->version == storage->version()) return entry->memory;
    if (entry == entries.end()) {
      entries.push_back({weight.storage(), 0, data, dnnl::memory(wanted, engine()),
                         dnnl::reorder({engine(), plain, engine(), wanted})});
      entry = std::prev(entries.end());
    }
    // A weight that was written since, by an optimizer, is packed again into the memory it had.
    dnnl::memory from(plain, engine(), const_cast<void*>(data));
    entry->pack.execute(stream, from, entry->memory);
    stream.wait();
    entry->version = storage->version();
    const dnnl::memory memory = entry->memory;
    sweep();
    return memory;
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    primitives_.clear();
    packed_.clear();
  }

 private:
  void sweep() {  // forgets the weights of models that are gone
    for (auto entry = packed_.begin(); entry != packed_.end();) {
      std::erase_if(entry->second, [](const Packed& p) { return p.storage.expired(); });
      entry = entry->second.empty() ? packed_.erase(entry) : std::next(entry);
    }
  }
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<const Primitive>> primitives_;
  std::map<const Storage*, std::vector<Packed>> packed_;
};

Caches& caches() {
  static Caches all;
  return all;
}

dnnl::memory wrap(const Desc& desc, const Tensor& tensor) { return {desc, engine(), tensor.view().data}; }

// Scratchpads are reused by the thread: the largest one it needed.
dnnl::memory scratch(const Desc& desc) {
  thread_local Tensor buffer;
  const auto bytes = static_cast<std::int64_t>(desc.get_size());
  if (!buffer || buffer.numel() < bytes) buffer = Tensor::empty({std::max<std::int64_t>(bytes, 64)}, DType::u8);
  return wrap(desc, buffer);
}

void execute(const Primitive& p, const Tensor& x, const dnnl::memory& weights, const Tensor& bias, const Tensor& y,
             dnnl::stream& stream) {
  std::unordered_map<int, dnnl::memory> args{{DNNL_ARG_SRC, wrap(p.source, x)},
                                             {DNNL_ARG_WEIGHTS, weights},
                                             {DNNL_ARG_DST, wrap(p.destination, y)},
                                             {DNNL_ARG_SCRATCHPAD, scratch(p.scratchpad)}};
  if (bias) args.emplace(DNNL_ARG_BIAS, wrap(p.bias, bias));
  p.run.execute(stream, args);
  stream.wait();
}

}  // namespace

void run(const Convolution& args) {
  if (args.y.numel() == 0) return;
  dnnl::stream stream(engine());
  const auto primitive = caches().primitive(args, make_convolution);
  const dnnl::memory weights =
      caches().packed(args.weight, plain_convolution_weight(args.weight), primitive->weights, stream);
  execute(*primitive, args.x, weights, args.bias, args.y, stream);
}

void run(const Linear& args) {
  if (args.y.numel() == 0) return;
  dnnl::stream stream(engine());
  const auto primitive = caches().primitive(args, make_linear);
  const dnnl::memory weights =
      caches().packed(args.weight, strided_transposed(args.weight), primitive->weights, stream);
  execute(*primitive, args.x, weights, args.bias, args.y, stream);
}

void run(const BatchedProduct& args) {
  if (args.y.numel() == 0) return;
  dnnl::stream stream(engine());
  const auto primitive = caches().primitive(args, make_batched);
  execute(*primitive, args.a, wrap(primitive->weights, args.b), {}, args.y, stream);
}

void run(const ConvolutionBackwardData& args) {
  if (args.gx.numel() == 0) return;
  dnnl::stream stream(engine());
  const auto primitive = caches().primitive(args, make_backward_data);
  const dnnl::memory weights =
      caches().packed(args.weight, plain_convolution_weight(args.weight), primitive->weights, stream);
  primitive->run.execute(stream, {{DNNL_ARG_DIFF_DST, wrap(primitive->destination, args.gy)},
                                  {DNNL_ARG_WEIGHTS, weights},
                                  {DNNL_ARG_DIFF_SRC, wrap(primitive->source, args.gx)},
                                  {DNNL_ARG_SCRATCHPAD, scratch(primitive->scratchpad)}});
  stream.wait();
}

void run(const ConvolutionBackwardWeights& args) {
  if (args.gweight.numel() == 0) return;
  dnnl::stream stream(engine());
  const auto primitive = caches().primitive(args, make_backward_weights);
  // oneDNN chooses the layout of its result; the reorder brings it to ours and adds it to what is there.
  const Tensor chosen = Tensor::empty({static_cast<std::int64_t>(primitive->weights.get_size())}, DType::u8);
  dnnl::memory from = wrap(primitive->weights, chosen);
  primitive->run.execute(stream, {{DNNL_ARG_SRC, wrap(primitive->source, args.x)},
                                  {DNNL_ARG_DIFF_DST, wrap(primitive->destination, args.gy)},
                                  {DNNL_ARG_DIFF_WEIGHTS, from},
                                  {DNNL_ARG_SCRATCHPAD, scratch(primitive->scratchpad)}});
  dnnl::memory to = wrap(plain_convolution_weight(args.gweight), args.gweight);
  primitive->to_plain.execute(stream, from, to);
  stream.wait();
}

std::string implementation(const Convolution& args) { return make_convolution(args).implementation; }
std::string implementation(const Linear& args) { return make_linear(args).implementation; }
std::string implementation(const BatchedProduct& args) { return make_batched(args).implementation; }
std::string implementation(const ConvolutionBackwardData& args) { return make_backward_data(args).implementation; }
std::string implementation(const ConvolutionBackwardWeights& args) {
  return make_backward_weights(args).implementation;
}

bool has_fast_bf16() {
  const Features& cpu = features();
  if (!cpu.avx512_bf16) return false;
  return dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core_bf16;
}

void clear_caches() { caches().clear(); }

}  // namespace visage::cpu::onednn
