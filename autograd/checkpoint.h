#pragma once
#include "tensor/tensor.h"

#include <cstdint>
#include <functional>
#include <utility>

namespace visage::autograd {

/// fn(x) without keeping what its operations save for the backward: the backward runs fn once more and then backs
/// through that (Chen et al. 2016, "Training deep nets with sublinear memory cost"). Memory of one activation instead
/// of all, for the time of a second forward. The gradients are the ones of fn(x), bit for bit, because both passes add
/// to the same slots in the same order. fn may use captured parameters and intermediate tensors; they get their
/// gradients. It must give the same result every time and live as long as the tape; its result must be new, not one of
/// its inputs. Checkpoints nest. Without a tape this is fn(x). throws AutogradError if fn returns a tensor that
/// requires a gradient as it is.
[[nodiscard]] Tensor checkpoint(std::function<Tensor(const Tensor&)> fn, const Tensor& x);

/// What a module keeps of its parts for the backward.
enum class Activations : std::uint8_t { keep, recompute };

/// checkpoint(fn, x) or, to keep what fn saves, fn(x).
template <class F>
[[nodiscard]] Tensor apply(Activations activations, F&& fn, const Tensor& x) {
  return activations == Activations::recompute ? checkpoint(std::forward<F>(fn), x) : fn(x);
}

}  // namespace visage::autograd
