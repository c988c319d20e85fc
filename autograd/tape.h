#pragma once
#include "tensor/tensor.h"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace visage::autograd {

/// Gradient slot of one tensor. It lives with the tensor, not with the tape, so nested tapes and captured closures
/// accumulate into the same place.
struct Meta final : AutogradMeta {
  Dims size;
  DType dtype = DType::f32;
  Device device;
  bool leaf = false;
  bool written = false;   // grad holds a value that later contributions add to
  bool consumed = false;  // the tape that produced the tensor has run
  Tensor grad;
};

/// What a backward function writes the gradient of one input to. Kernels compute
/// `buffer = beta * buffer + contribution`; beta 0 overwrites, so buffers are never cleared.
class GradTarget {
 public:
  /// Whether the incoming gradient belongs to the tape, so that adopt() may keep it.
  enum class Incoming : std::uint8_t { lent, owned };
  explicit GradTarget(Meta* meta, Incoming incoming = Incoming::lent) : meta_(meta), incoming_(incoming) {}
  bool needed() const { return meta_ != nullptr; }
  /// Contiguous, shaped like the input; allocated on first use.
  Tensor buffer() const;
  float beta() const { return meta_->written ? 1.f : 0.f; }
  /// Tells that buffer() now holds this contribution.
  void done() const { meta_->written = true; }
  /// Takes the incoming gradient itself, seen in the shape of the input, where the contribution equals it: no copy.
  /// At most one target of an op may do so, after everything else has read the gradient. False when that is not
  /// possible (leaves keep their buffers, a contribution is there already, the gradient is the caller's seed); then the
  /// contribution has to be written to buffer().
  bool adopt(const Tensor& grad_out) const;

 private:
  Meta* meta_;
  Incoming incoming_;
};

/// grad_out is the gradient of the output; grad_in has one target an input, in the order given to record().
using Backward = std::function<void(const Tensor& grad_out, std::span<const GradTarget> grad_in)>;

/// Records operations of this thread while it lives; without one, nothing is recorded and nothing is kept.
class Tape {
 public:
  Tape();
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// Walks the record from its end and leaves d loss / d leaf in grad(leaf). Saved tensors are freed on the way.
  /// A loss of more than one element needs `seed`, the gradient of what follows; contiguous and like the loss.
  /// `on_final` is called with each leaf whose gradient nothing that is still to come contributes to, as soon as that
  /// is so; leaves that the record does not mention are not told.
  /// throws AutogradError if the loss does not depend on a tensor that requires a gradient.
  void backward(const Tensor& loss, const Tensor& seed = {}, const std::function<void(const Meta&)>& on_final = {});
  std::size_t size() const { return nodes_.size(); }

 private:
  friend void record(const char*, std::span<const Tensor>, Tensor&, Backward);
  class LastUses;
  struct Node {
    std::vector<std::shared_ptr<Meta>> inputs;
    std::shared_ptr<Meta> output;
    Backward backward;
  };
  std::vector<Node> nodes_;
  Tape* outer_;
};

/// True while operations of this thread are recorded.
bool recording();

/// Suspends recording on this thread.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  Tape* suspended_;
};

/// Collects, while it lives, the tensors with gradients that operations of this thread take as inputs, recorded or not.
/// Each is listed once. A log inside another hides it.
class InputLog {
 public:
  InputLog();
  ~InputLog();
  InputLog(const InputLog&) = delete;
  InputLog& operator=(const InputLog&) = delete;
  const std::vector<Tensor>& tensors() const { return tensors_; }
  void add(const Tensor& tensor);

 private:
  std::vector<Tensor> tensors_;
  InputLog* outer_;
};

/// Makes the tensor a leaf whose gradient is wanted, or a constant.
void set_requires_grad(const Tensor& tensor, bool wanted = true);
/// The accumulated gradient, or an empty tensor.
Tensor grad(const Tensor& tensor);
/// Forgets the value of the gradient and keeps its buffer: the next backward overwrites it.
void zero_grad(const Tensor& tensor);
/// The gradient of a leaf will be written to `buffer`, contiguous and like the leaf, e.g. a part of one buffer for
/// many. What the gradient was is forgotten.
void place_grad(const Tensor& leaf, const Tensor& buffer);
/// Gives a leaf without a gradient a gradient of zeros.
void complete_grad(const Tensor& leaf);
bool needs_grad(std::span<const Tensor> inputs);
/// The same elements without gradient history: what is computed from them treats them as constants.
[[nodiscard]] Tensor detach(const Tensor& tensor);

/// Every op calls exactly one of record() and not_differentiable(), so none can silently cut the graph.
/// Empty tensors in `inputs` stand for absent optional inputs.
/// throws AutogradError if an input comes from a tape that has already run.
void record(const char* op, std::span<const Tensor> inputs, Tensor& output, Backward backward);
/// throws AutogradError if a gradient of an input is wanted.
void not_differentiable(const char* op, std::span<const Tensor> inputs);
inline void not_differentiable(const char* op, std::initializer_list<Tensor> inputs) {
  not_differentiable(op, std::span<const Tensor>(inputs.begin(), inputs.size()));
}

}  // namespace visage::autograd
