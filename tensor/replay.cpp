#include "tensor/replay.h"

#include <utility>

#ifdef VISAGE_CUDA
#include "tensor/cuda/graph.h"
#endif

namespace visage {

#ifdef VISAGE_CUDA
struct Replay::Captured {
  cuda::Graph graph;
};
#else
struct Replay::Captured {};
#endif

Replay::Replay([[maybe_unused]] Device device, std::function<void()> work) : work_(std::move(work)) {
#ifdef VISAGE_CUDA
  if (device.type == DeviceType::cuda) captured_.reset(new Captured{cuda::Graph(work_)});
#endif
}

Replay::~Replay() = default;

void Replay::run() const {
#ifdef VISAGE_CUDA
  if (captured_) return captured_->graph.launch();
#endif
  work_();
}

std::size_t Replay::node_count() const {
#ifdef VISAGE_CUDA
  if (captured_) return captured_->graph.node_count();
#endif
  return 0;
}

}  // namespace visage
