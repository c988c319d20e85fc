#include "tensor/cuda/stream.h"

#include "tensor/cuda/device.h"
#include "tensor/cuda/error.h"
#include "tensor/cuda/stall.h"
#include "tensor/error.h"

#include <array>
#include <mutex>

namespace visage::cuda {
namespace {

thread_local StreamHandle scoped;

cudaStream_t raw(StreamHandle stream) { return static_cast<cudaStream_t>(stream.raw); }
cudaEvent_t raw(void* event) { return static_cast<cudaEvent_t>(event); }

StreamHandle create() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  return {stream};
}

/// One stream a device, shared by all threads, so that a tensor made on one thread can be read on another.
StreamHandle main_stream(int device) {
  static std::mutex mutex;
  static std::array<StreamHandle, 64> streams;
  visage::check<DeviceError>(device >= 0 && device < static_cast<int>(streams.size()), "device cuda: index ", device,
                             " is out of range");
  const std::lock_guard lock(mutex);
  StreamHandle& stream = streams[static_cast<std::size_t>(device)];
  if (!stream.raw) stream = create();
  return stream;
}

}  // namespace

StreamHandle current_stream() { return scoped.raw ? scoped : main_stream(current_device()); }

void synchronize(StreamHandle stream) {
  detail::about_to_stall("cudaStreamSynchronize");
  check(cudaStreamSynchronize(raw(stream)), "cudaStreamSynchronize");
}

Stream::Stream() : handle_(create()) {}
Stream::~Stream() { warn(cudaStreamDestroy(raw(handle_)), "cudaStreamDestroy"); }

StreamScope::StreamScope(StreamHandle stream) : previous_(scoped) { scoped = stream; }
StreamScope::~StreamScope() { scoped = previous_; }

Event::Event(Timing timing) {
  cudaEvent_t event = nullptr;
  const unsigned flags = timing == Timing::on ? cudaEventDefault : cudaEventDisableTiming;
  check(cudaEventCreateWithFlags(&event, flags), "cudaEventCreate");
  raw_ = event;
}
Event::~Event() { warn(cudaEventDestroy(raw(raw_)), "cudaEventDestroy"); }

void Event::record(StreamHandle stream) { check(cudaEventRecord(raw(raw_), raw(stream)), "cudaEventRecord"); }
void Event::make_wait(StreamHandle stream) const {
  check(cudaStreamWaitEvent(raw(stream), raw(raw_), 0), "cudaStreamWaitEvent");
}
void Event::synchronize() const {
  // A thread that captures may wait as well, for work outside of the capture.
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  check(cudaThreadExchangeStreamCaptureMode(&mode), "cudaThreadExchangeStreamCaptureMode");
  const cudaError_t status = cudaEventSynchronize(raw(raw_));
  warn(cudaThreadExchangeStreamCaptureMode(&mode), "cudaThreadExchangeStreamCaptureMode");
  check(status, "cudaEventSynchronize");
}
float Event::milliseconds_since(const Event& start) const {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, raw(start.raw_), raw(raw_)), "cudaEventElapsedTime");
  return milliseconds;
}

}  // namespace visage::cuda
