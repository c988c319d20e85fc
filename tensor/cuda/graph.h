#pragma once
#include "tensor/cuda/allocator.h"
#include "tensor/cuda/stream.h"

#include <cstddef>
#include <functional>

namespace visage::cuda {

/// The kernels and copies of a piece of work, captured once and then launched together, which costs the host one call
/// in place of one for each. A replay uses the addresses of the capture: it reads its inputs where they were and writes
/// its outputs where they were. Tensors allocated by the work come from the graph's own memory and stay valid while the
/// graph lives, and its outputs beyond; tensors that existed before must be kept alive by the caller.
///   Tensor y;
///   const Graph graph([&] { y = layer_norm(x, weight, bias); });
///   copy_async(next, x);
///   graph.launch();        // y now belongs to `next`
class Graph {
 public:
  /// Runs `work` on this thread with a capturing stream as the current one. Nothing is executed on the device. The work
  /// must not wait for the device nor read results on the host; other streams may take part, by events, if they join
  /// again. What libraries set up on first use (handles, workspaces) should exist: run the work once before.
  /// throws CudaError if something cannot be captured, and whatever `work` throws.
  explicit Graph(const std::function<void()>& work);
  /// The launches must be done. Gives the graph's memory back to the driver, which waits for the device.
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  /// Queues everything on the current stream.
  void launch() const;

  /// Kernels, copies and memsets, and the branches of other streams.
  std::size_t node_count() const { return node_count_; }

 private:
  MemoryPool memory_;
  Stream stream_;
  void* exec_ = nullptr;
  std::size_t node_count_ = 0;
};

/// Whether work queued on the stream is being captured instead of executed.
bool is_capturing(StreamHandle stream);

}  // namespace visage::cuda
