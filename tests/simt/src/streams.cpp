// Streams, events, and the capture of streams into graphs.
#include "streams.h"

#include "block.h"

#include <cstdlib>
#include <string_view>

namespace simt {

/// Nodes in the order in which they were captured.
struct Graph {
  std::vector<std::function<void()>> nodes;
};
struct GraphExec {
  std::vector<std::function<void()>> nodes;
};

namespace {

struct Queues {
  std::vector<Stream*> streams;
  std::shared_ptr<Capture> capture;  // the one under way
  cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeThreadLocal;
  Streams mode = Streams::eager;

  Queues() {
    const char* const text = std::getenv("SIMT_STREAMS");
    if (text && std::string_view(text) == "lazy") mode = Streams::lazy;
  }
};

/// Never destroyed: tensors of static lifetime are released after it would be.
Queues& queues() {
  static auto* const instance = new Queues;
  return *instance;
}

void run_front(Stream& stream) {
  const auto work = std::move(stream.work.front());
  stream.work.pop_front();
  work();
}

void drain(Stream& stream) {
  while (!stream.work.empty()) run_front(stream);
}

void reach(Mark& mark) {
  while (!mark.reached && !mark.stream->work.empty()) run_front(*mark.stream);
}

cudaError_t invalidate(cudaError_t error) {
  queues().capture->valid = false;
  return remember(error);
}

void enter(Stream& stream, const std::shared_ptr<Capture>& capture) {
  stream.capture = capture;
  stream.captured = 0;
  stream.joined = &stream == capture->origin;
  capture->streams.push_back(&stream);
}

/// `stream` waits for a mark, and one of them is in a capture.
cudaError_t wait_in_capture(Stream& stream, const Mark& mark) {
  if (!mark.capture || mark.capture != queues().capture) return invalidate(cudaErrorStreamCaptureIsolation);
  if (!stream.capture) enter(stream, mark.capture);
  if (mark.captured == mark.stream->captured) mark.stream->joined = true;
  return cudaSuccess;
}

cudaError_t end_capture(Stream& origin, std::vector<std::function<void()>>& nodes) {
  const std::shared_ptr<Capture> capture = std::exchange(queues().capture, nullptr);
  bool joined = true;
  for (Stream* stream : capture->streams) {
    joined = joined && (stream == &origin || stream->joined);
    stream->capture = nullptr;
  }
  if (!capture->valid) return cudaErrorStreamCaptureInvalidated;
  if (!joined) return cudaErrorStreamCaptureUnjoined;
  nodes = std::move(capture->nodes);
  return cudaSuccess;
}

}  // namespace

Streams set_streams(Streams streams) {
  drain_all();
  return std::exchange(queues().mode, streams);
}

void drain_all() {
  for (Stream* stream : queues().streams) drain(*stream);
}

void enqueue(Stream* stream, std::function<void()> work) {
  if (!stream) fail("work on the legacy default stream, which waits for all others; use cuda::current_stream()");
  if (stream->capture) {
    stream->capture->nodes.push_back(std::move(work));
    ++stream->captured;
    stream->joined = stream == stream->capture->origin;
    return;
  }
  if (queues().mode == Streams::eager) return work();
  stream->work.push_back(std::move(work));
}

cudaError_t refuse_in_capture() {
  if (!queues().capture || queues().thread_mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  return invalidate(cudaErrorStreamCaptureUnsupported);
}

}  // namespace simt

using simt::queues;
using simt::remember;

cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t refused = simt::refuse_in_capture(); refused != cudaSuccess) return refused;
  simt::drain_all();
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new simt::Stream;
  queues().streams.push_back(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream->capture) simt::fail("cudaStreamDestroy: the stream is being captured");
  simt::drain(*stream);
  std::erase(queues().streams, stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream && stream->capture) return simt::invalidate(cudaErrorStreamCaptureUnsupported);
  if (stream)
    simt::drain(*stream);
  else
    simt::drain_all();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const auto mark = event->last;
  if (!mark) return cudaSuccess;
  if (stream->capture || mark->capture) return simt::wait_in_capture(*stream, *mark);
  simt::enqueue(stream, [mark] { simt::reach(*mark); });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new simt::Event;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const auto mark = std::make_shared<simt::Mark>();
  mark->stream = stream;
  mark->capture = stream->capture;
  mark->captured = stream->captured;
  event->last = mark;
  if (mark->capture) return cudaSuccess;
  simt::enqueue(stream, [mark] {
    mark->reached = true;
    mark->time = std::chrono::steady_clock::now();
  });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (!event->last) return cudaSuccess;
  if (event->last->capture) {
    if (queues().capture) simt::invalidate(cudaErrorCapturedEvent);
    return remember(cudaErrorCapturedEvent);
  }
  simt::reach(*event->last);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop) {
  if (!start->last || !stop->last || !start->last->reached || !stop->last->reached) {
    return remember(cudaErrorNotReady);
  }
  *milliseconds = std::chrono::duration<float, std::milli>(stop->last->time - start->last->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (!stream) return remember(cudaErrorStreamCaptureUnsupported);
  if (queues().capture) return simt::invalidate(cudaErrorIllegalState);
  queues().capture = std::make_shared<simt::Capture>();
  queues().capture->origin = stream;
  queues().thread_mode = mode;
  simt::enter(*stream, queues().capture);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!stream->capture) return remember(cudaErrorIllegalState);
  if (stream->capture->origin != stream) return simt::invalidate(cudaErrorStreamCaptureUnmatched);
  std::vector<std::function<void()>> nodes;
  const cudaError_t status = remember(simt::end_capture(*stream, nodes));
  if (status == cudaSuccess) *graph = new simt::Graph{std::move(nodes)};
  return status;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = !stream->capture         ? cudaStreamCaptureStatusNone
            : stream->capture->valid ? cudaStreamCaptureStatusActive
                                     : cudaStreamCaptureStatusInvalidated;
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  *mode = std::exchange(queues().thread_mode, *mode);
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, std::size_t* count) {
  *count = graph->nodes.size();
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new simt::GraphExec{graph->nodes};
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (stream && stream->capture) return simt::invalidate(cudaErrorStreamCaptureUnsupported);
  simt::enqueue(stream, [exec] {
    for (const auto& node : exec->nodes) node();
  });
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  simt::drain_all();  // launches that are still queued
  delete exec;
  return cudaSuccess;
}
