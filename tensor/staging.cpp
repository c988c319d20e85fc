#include "tensor/staging.h"

#include "tensor/transfer.h"

#ifdef VISAGE_CUDA
#include "tensor/cuda/pinned.h"
#include "tensor/cuda/stream.h"
#endif

namespace visage {

#ifdef VISAGE_CUDA
namespace {

// Before memory is released that copies may still use. What has failed on the device is said by the next call.
void finish(const cuda::Stream& stream) {
  try {
    stream.synchronize();
  } catch (const Error&) {
  }
}

}  // namespace

// The copies have a stream of their own. Between it and the stream of the work lies memory on the device, so that
// neither waits for the other: a copy within the device takes a few microseconds, one to it a hundred times as long.
struct Upload::Lane {
  Tensor staged;
  cuda::Stream stream;
  cuda::Event sent, taken;

  explicit Lane(Tensor memory) : staged(std::move(memory)) {
    taken.record(cuda::current_stream());  // what used the memory before is still on its way there
  }
  ~Lane() { finish(stream); }
};

struct Download::Lane {
  std::vector<Tensor> staged;
  cuda::Stream stream;
  cuda::Event ready, done;

  ~Lane() { finish(stream); }
};

#else

struct Upload::Lane {};
struct Download::Lane {};

#endif

Upload::Upload(const Dims& size, DType dtype, Device device) {
#ifdef VISAGE_CUDA
  if (device.type == DeviceType::cuda) {
    host_ = cuda::empty_pinned(size, dtype);
    lane_ = std::make_unique<Lane>(Tensor::empty(size, dtype, device));
    return;
  }
#endif
  host_ = Tensor::empty(size, dtype, device);
}

Upload::~Upload() = default;

const Tensor& Upload::host() const {
#ifdef VISAGE_CUDA
  if (lane_) lane_->sent.synchronize();
#endif
  return host_;
}

void Upload::send() {
#ifdef VISAGE_CUDA
  if (!lane_) return;
  lane_->taken.make_wait(lane_->stream.handle());
  const cuda::StreamScope scope(lane_->stream.handle());
  cuda::copy_async(host_, lane_->staged);
  lane_->sent.record(lane_->stream.handle());
#endif
}

void Upload::deliver(const Tensor& to) {
#ifdef VISAGE_CUDA
  if (lane_) {
    const StreamHandle stream = cuda::current_stream();
    lane_->sent.make_wait(stream);
    cuda::copy_async(lane_->staged, to);
    lane_->taken.record(stream);
    return;
  }
#endif
  copy_into(to, host_);
}

Download::Download([[maybe_unused]] Device device) {
#ifdef VISAGE_CUDA
  if (device.type == DeviceType::cuda) lane_ = std::make_unique<Lane>();
#endif
}

Download::~Download() = default;

void Download::start(const std::vector<Tensor>& tensors) {
#ifdef VISAGE_CUDA
  if (lane_) {
    std::vector<Tensor>& staged = lane_->staged;
    staged.resize(tensors.size());
    host_.resize(tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const Tensor& x = tensors[i];
      if (!staged[i] || staged[i].size() != x.size() || staged[i].dtype() != x.dtype()) {
        staged[i] = Tensor::empty(x.size(), x.dtype(), x.device());
        host_[i] = cuda::empty_pinned(x.size(), x.dtype());
      }
      cuda::copy_async(x, staged[i]);
    }
    lane_->ready.record(cuda::current_stream());
    lane_->ready.make_wait(lane_->stream.handle());
    const cuda::StreamScope scope(lane_->stream.handle());
    for (std::size_t i = 0; i < tensors.size(); ++i) cuda::copy_async(staged[i], host_[i]);
    lane_->done.record(lane_->stream.handle());
    return;
  }
#endif
  host_ = tensors;
}

const std::vector<Tensor>& Download::wait() const {
#ifdef VISAGE_CUDA
  if (lane_) lane_->done.synchronize();
#endif
  return host_;
}

}  // namespace visage
