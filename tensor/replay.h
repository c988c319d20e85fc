#pragma once
#include "tensor/device.h"

#include <cstddef>
#include <functional>
#include <memory>

namespace visage {

/// Work on the same tensors that is done again and again. On a GPU it is captured as a graph (tensor/cuda/graph.h), so
/// that a run costs the host one call; on the CPU every run calls it.
class Replay {
 public:
  /// Captures the work, which must have been run before as it is, so that libraries and caches are set up. Tensors that
  /// it assigns to variables outside, empty until then, keep their addresses and get new values at every run. throws
  /// what `work` throws, and CudaError if it cannot be captured.
  Replay(Device device, std::function<void()> work);
  ~Replay();
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  /// Does the work once more, in the order of the current stream.
  void run() const;
  /// Kernels, copies and memsets of a run; 0 on the CPU.
  std::size_t node_count() const;

 private:
  struct Captured;
  std::function<void()> work_;
  std::unique_ptr<Captured> captured_;  // on a GPU
};

}  // namespace visage
