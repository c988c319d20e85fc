#include "autograd/tape.h"

#include "tensor/transfer.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace visage::autograd {
namespace {

thread_local Tape* active_tape = nullptr;
thread_local InputLog* active_log = nullptr;

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

Tensor seed_of_one(const Tensor& loss) {
  check<AutogradError>(loss.numel() == 1 && loss.dtype() == DType::f32,
                       "backward: a loss that is not one f32 needs a seed; size ", loss.size());
  return Tensor::ones(loss.size(), loss.device());
}

}  // namespace

Tensor GradTarget::buffer() const {
  if (!meta_->grad) meta_->grad = Tensor::empty(meta_->size, meta_->dtype, meta_->device);
  return meta_->grad;
}

bool GradTarget::adopt(const Tensor& grad_out) const {
  if (incoming_ == Incoming::lent || meta_->leaf || meta_->written) return false;
  if (grad_out.dtype() != meta_->dtype || !grad_out.is_contiguous()) return false;
  meta_->grad = Tensor::alias(grad_out, meta_->size, contiguous_strides(meta_->size));
  meta_->written = true;
  return true;
}

Tape::Tape() : outer_(active_tape) { active_tape = this; }
Tape::~Tape() { active_tape = outer_; }
NoGrad::NoGrad() : suspended_(active_tape) { active_tape = nullptr; }
NoGrad::~NoGrad() { active_tape = suspended_; }

bool recording() { return active_tape != nullptr; }

InputLog::InputLog() : outer_(active_log) { active_log = this; }
InputLog::~InputLog() { active_log = outer_; }
void InputLog::add(const Tensor& tensor) {
  const auto same = [&](const Tensor& t) { return t.autograd_meta() == tensor.autograd_meta(); };
  if (std::none_of(tensors_.begin(), tensors_.end(), same)) tensors_.push_back(tensor);
}

void set_requires_grad(const Tensor& tensor, bool wanted) {
  tensor.autograd_meta() = wanted ? make_meta(tensor, true) : nullptr;
}

Tensor grad(const Tensor& tensor) {
  const auto meta = meta_of(tensor);
  return meta && meta->written ? meta->grad : Tensor{};
}

void zero_grad(const Tensor& tensor) {
  if (const auto meta = meta_of(tensor)) meta->written = false;
}

void place_grad(const Tensor& leaf, const Tensor& buffer) {
  const auto meta = meta_of(leaf);
  check<AutogradError>(meta && meta->leaf, "place_grad: the tensor is no leaf; call set_requires_grad first");
  check<ShapeError>(buffer.size() == meta->size && buffer.is_contiguous() && buffer.dtype() == meta->dtype &&
                        buffer.device() == meta->device,
                    "place_grad: the buffer must be contiguous and like the leaf; leaf ", meta->size, ", buffer ",
                    buffer.size());
  meta->grad = buffer;
  meta->written = false;
}

void complete_grad(const Tensor& leaf) {
  const auto meta = meta_of(leaf);
  check<AutogradError>(meta && meta->leaf, "complete_grad: the tensor is no leaf; call set_requires_grad first");
  if (meta->written) return;
  const GradTarget target(meta.get());
  copy_into(target.buffer(), Tensor::zeros(meta->size, meta->dtype, meta->device));
  target.done();
}

bool needs_grad(std::span<const Tensor> inputs) {
  if (active_log) {
    for (const Tensor& input : inputs)
      if (meta_of(input)) active_log->add(input);
  }
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

// The first node of the record that takes each leaf: the walk back is done with the leaf after it.
class Tape::LastUses {
 public:
  explicit LastUses(std::span<const Node> nodes) {
    for (std::size_t i = nodes.size(); i-- > 0;)
      for (const auto& meta : nodes[i].inputs)
        if (meta && meta->leaf) first_[meta.get()] = i;
  }
  void tell(const Node& node, std::size_t index, const std::function<void(const Meta&)>& on_final) {
    for (const auto& meta : node.inputs) {
      const auto found = first_.find(meta.get());
      if (found == first_.end() || found->second != index) continue;
      first_.erase(found);
      on_final(*meta);
    }
  }

 private:
  std::unordered_map<const Meta*, std::size_t> first_;
};

void Tape::backward(const Tensor& loss, const Tensor& seed, const std::function<void(const Meta&)>& on_final) {
  const auto root = meta_of(loss);
  check<AutogradError>(root != nullptr, "backward: the loss does not depend on any tensor that requires a gradient");
  check<AutogradError>(!root->consumed,
                       "backward: this tape has already run; add up the losses and go back once, or use two tapes");
  check<ShapeError>(!seed || (seed.size() == root->size && seed.dtype() == root->dtype && seed.is_contiguous()),
                    "backward: the seed must be contiguous and like the loss; loss ", root->size, ", seed ",
                    seed ? seed.size() : Dims{});
  const NoGrad off;
  root->grad = seed ? seed : seed_of_one(loss);
  root->written = true;
  std::optional<LastUses> uses;
  if (on_final) uses.emplace(nodes_);
  // Creation order is a topological order: the reverse walk needs neither a sort nor recursion.
  while (!nodes_.empty()) {
    Node node = std::move(nodes_.back());
    nodes_.pop_back();
    if (node.output->written) {
      using Incoming = GradTarget::Incoming;
      const Incoming incoming = node.output == root && seed ? Incoming::lent : Incoming::owned;
      std::vector<GradTarget> targets;
      for (const auto& meta : node.inputs) targets.emplace_back(meta.get(), incoming);
      node.backward(node.output->grad, targets);
    }
    node.output->grad = {};
    node.output->consumed = true;
    if (uses) uses->tell(node, nodes_.size(), on_final);
  }
}

}  // namespace visage::autograd
