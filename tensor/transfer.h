#pragma once
#include "tensor/tensor.h"

namespace visage {

/// x itself if it is on `device`, else a copy there that is contiguous and has no gradient history. A copy to the host
/// has arrived when the function returns. throws ShapeError if a copy is needed and x is not contiguous.
[[nodiscard]] Tensor to_device(const Tensor& x, Device device);

/// Copies the elements of `from` into `to`, which has the same size and type, on any devices; both contiguous. A copy
/// from the host has left its source when the function returns. throws ShapeError or DTypeError.
void copy_into(const Tensor& to, const Tensor& from);

/// Calls write(host) with a host tensor like the contiguous `to`, every element of which it must set, and brings them
/// to where `to` is: `to` itself on the CPU.
template <class Write>
void write_from_host(const Tensor& to, Write&& write) {
  if (to.device().type == DeviceType::cpu) {
    write(to);
    to.storage()->bump_version();
    return;
  }
  const Tensor host = Tensor::empty(to.size(), to.dtype());
  write(host);
  copy_into(to, host);
}

/// The only element of an f32 tensor; waits for the device. throws ShapeError or DTypeError.
[[nodiscard]] float item(const Tensor& x);

}  // namespace visage
