#include "autograd/tape.h"

#include <algorithm>

namespace visage::autograd {
namespace {

thread_local Tape* active_tape = nullptr;

std::shared_ptr<Meta> meta_of(const Tensor& tensor) {
  return tensor ? std::static_pointer_cast<Meta>(tensor.autograd_meta()) : nullptr;
}

std::shared_ptr<Meta> make_meta(const Tensor& tensor, bool leaf) {
  auto meta = std::make_shared<Meta>();
  meta->size = tensor.size();
  meta->dtype = tensor.dtype();
  meta->device = tensor.device();
  meta->leaf = leaf;
  return meta;
}

Tensor ones_like_scalar(const Tensor& loss) {
  check<AutogradError>(loss.numel() == 1 && loss.dtype() == DType::f32 && loss.device().type == DeviceType::cpu,
                       "backward: a loss that is not one f32 on the CPU needs a seed; size ", loss.size());
  Tensor seed = Tensor::empty(loss.size(), loss.dtype(), loss.device());
  *seed.data<float>() = 1.f;
  return seed;
}

}  // namespace

Tensor GradTarget::buffer() const {
  if (!meta_->grad) meta_->grad = Tensor::empty(meta_->size, meta_->dtype, meta_->device);
  return meta_->grad;
}

Tape::Tape() : outer_(active_tape) { active_tape = this; }
Tape::~Tape() { active_tape = outer_; }
NoGrad::NoGrad() : suspended_(active_tape) { active_tape = nullptr; }
NoGrad::~NoGrad() { active_tape = suspended_; }

void set_requires_grad(const Tensor& tensor) { tensor.autograd_meta() = make_meta(tensor, true); }

Tensor grad(const Tensor& tensor) {
  const auto meta = meta_of(tensor);
  return meta && meta->written ? meta->grad : Tensor{};
}

void zero_grad(const Tensor& tensor) {
  if (const auto meta = meta_of(tensor)) meta->written = false;
}

bool needs_grad(std::span<const Tensor> inputs) {
  return active_tape &&
         std::any_of(inputs.begin(), inputs.end(), [](const Tensor& t) { return meta_of(t) != nullptr; });
}

Tensor detach(const Tensor& tensor) { return Tensor::alias(tensor, tensor.size(), tensor.stride()); }

void not_differentiable(const char* op, std::span<const Tensor> inputs) {
  check<AutogradError>(!needs_grad(inputs), op,
                       ": has no backward, but an input requires a gradient; detach the input or run under NoGrad");
}

void record(const char* op, std::span<const Tensor> inputs, Tensor& output, Backward backward) {
  if (!needs_grad(inputs)) return;
  Tape::Node node;
  for (const Tensor& input : inputs) {
    node.inputs.push_back(meta_of(input));
    check<AutogradError>(!node.inputs.back() || !node.inputs.back()->consumed, op,
                         ": an input was produced under a tape whose backward has run; detach it");
  }
  node.output = make_meta(output, false);
  output.autograd_meta() = node.output;
  node.backward = std::move(backward);
  active_tape->nodes_.push_back(std::move(node));
}

void Tape::backward(const Tensor& loss, const Tensor& seed) {
  const auto root = meta_of(loss);
  check<AutogradError>(root != nullptr, "backward: the loss does not depend on any tensor that requires a gradient");
  const NoGrad off;
  root->grad = seed ? seed : ones_like_scalar(loss);
  root->written = true;
  // Creation order is a topological order: the reverse walk needs neither a sort nor recursion.
  while (!nodes_.empty()) {
    Node node = std::move(nodes_.back());
    nodes_.pop_back();
    if (node.output->written) {
      std::vector<GradTarget> targets;
      for (const auto& meta : node.inputs) targets.emplace_back(meta.get());
      node.backward(node.output->grad, targets);
    }
    node.output->grad = {};
    node.output->consumed = true;
  }
}

}  // namespace visage::autograd
