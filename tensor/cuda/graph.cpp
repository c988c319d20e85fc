#include "tensor/cuda/graph.h"

#include "tensor/cuda/device.h"
#include "tensor/cuda/error.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/error.h"

#include <memory>
#include <string>
#include <utility>

namespace visage::cuda {
namespace {

cudaStream_t raw(StreamHandle stream) { return static_cast<cudaStream_t>(stream.raw); }

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const { warn(cudaGraphDestroy(graph), "cudaGraphDestroy"); }
};
using GraphHandle = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, DestroyGraph>;

/// A capture that ends with the scope, whatever happens in it.
class CaptureScope {
 public:
  explicit CaptureScope(StreamHandle stream) : stream_(stream) {
    check(cudaStreamBeginCapture(raw(stream), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  }
  ~CaptureScope() {
    if (!open_) return;
    cudaGraph_t graph = nullptr;
    // The error of an abandoned capture is already on its way as an exception.
    if (cudaStreamEndCapture(raw(stream_), &graph) != cudaSuccess) cudaGetLastError();
    if (graph) GraphHandle{graph};
  }
  CaptureScope(const CaptureScope&) = delete;
  CaptureScope& operator=(const CaptureScope&) = delete;

  GraphHandle finish() {
    open_ = false;
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(raw(stream_), &graph), "cudaStreamEndCapture");
    return GraphHandle{graph};
  }

 private:
  StreamHandle stream_;
  bool open_ = true;
};

/// The driver's own words do not say what to do.
[[noreturn]] void explain(const CudaError& error) {
  fail<CudaError>({"graph: the work cannot be captured: ", error.thrown_at()}, error.what(),
                  "; it must not wait for the device, read results on the host or allocate outside of tensors, and "
                  "every stream it uses must join the first again");
}

}  // namespace

Graph::Graph(const std::function<void()>& work) : memory_(current_device()) {
  GraphHandle graph;
  {
    const StreamScope current(stream_.handle());
    const MemoryPoolScope memory(memory_);
    CaptureScope capture(stream_.handle());
    try {
      work();
      graph = capture.finish();
    } catch (const CudaError& error) {
      explain(error);
    }
  }
  check(cudaGraphGetNodes(graph.get(), nullptr, &node_count_), "cudaGraphGetNodes");
  cudaGraphExec_t exec = nullptr;
  check(cudaGraphInstantiate(&exec, graph.get(), 0), "cudaGraphInstantiate");
  exec_ = exec;
}

Graph::~Graph() { warn(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(exec_)), "cudaGraphExecDestroy"); }

void Graph::launch() const {
  const StreamHandle stream = current_stream();
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(exec_), raw(stream)), "cudaGraphLaunch");
  if (!synchronous_launches()) return;
  check(cudaStreamSynchronize(raw(stream)), ("graph of " + std::to_string(node_count_) + " nodes").c_str());
}

bool is_capturing(StreamHandle stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(raw(stream), &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

}  // namespace visage::cuda
