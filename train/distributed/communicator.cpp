#include "train/distributed/communicator.h"

namespace visage::train {
namespace {

Tensor flag(bool set) {
  const Tensor x = Tensor::empty({1}, DType::f64);
  *x.data<double>() = set ? 1 : 0;
  return x;
}

bool is_set(const Tensor& x) { return *x.data<double>() != 0; }

}  // namespace

bool HostCommunicator::any(bool mine) {
  const Tensor x = flag(mine);
  all_reduce(x);
  return is_set(x);
}

bool HostCommunicator::of_first(bool mine) {
  const Tensor x = flag(mine);
  broadcast(x);
  return is_set(x);
}

}  // namespace visage::train
