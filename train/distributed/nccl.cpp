// The only door to NCCL. Not yet run on a GPU.
#include "train/distributed/nccl.h"

#ifdef VISAGE_NCCL
#include "tensor/cuda/stream.h"

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <nccl.h>
#include <thread>
#endif

namespace visage::train {

#ifdef VISAGE_NCCL
namespace {

void check_nccl(ncclResult_t status, const char* what) {
  check<CommunicationError>(status == ncclSuccess, "", what, ": ", ncclGetErrorString(status),
                            "; NCCL_DEBUG=INFO in the environment tells more");
}

cudaStream_t current_stream() { return static_cast<cudaStream_t>(cuda::current_stream().raw); }

class Nccl final : public Communicator {
 public:
  Nccl(HostCommunicator& host, Device device) : host_(host), device_(device) {
    ncclUniqueId id{};
    if (host.rank() == 0) check_nccl(ncclGetUniqueId(&id), "ncclGetUniqueId");
    const Tensor bytes = Tensor::empty({static_cast<std::int64_t>(sizeof id.internal)}, DType::u8);
    std::memcpy(bytes.data<std::uint8_t>(), id.internal, sizeof id.internal);
    host.broadcast(bytes);
    std::memcpy(id.internal, bytes.data<std::uint8_t>(), sizeof id.internal);
    check_nccl(ncclCommInitRank(&group_, host.size(), id, host.rank()), "ncclCommInitRank");
    watcher_ = std::thread([this] { watch(); });
  }
  ~Nccl() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_one();
    watcher_.join();
    if (failure_.empty()) ncclCommDestroy(group_);
  }
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  Device device() const override { return device_; }

  void all_reduce(const Tensor& x) override {
    check<DTypeError>(x.dtype() == DType::f32 || x.dtype() == DType::f64, "all_reduce: needs f32 or f64; got ",
                      x.dtype());
    check_whole();
    check_nccl(ncclAllReduce(x.view().data, x.view().data, static_cast<std::size_t>(x.numel()),
                             x.dtype() == DType::f32 ? ncclFloat32 : ncclFloat64, ncclSum, group_, current_stream()),
               "ncclAllReduce");
  }
  void broadcast(const Tensor& x) override {
    check_whole();
    check_nccl(ncclBroadcast(x.view().data, x.view().data, x.nbytes(), ncclUint8, 0, group_, current_stream()),
               "ncclBroadcast");
  }

 private:
  // The lock is not kept: a call that waits for a process that is gone must not keep the watcher from ending it.
  void check_whole() {
    const std::lock_guard lock(mutex_);
    check<CommunicationError>(failure_.empty(), "", failure_);
  }

  void watch() {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, std::chrono::seconds(1), [&] { return ending_; })) {
      ncclResult_t status = ncclSuccess;
      if (ncclCommGetAsyncError(group_, &status) == ncclSuccess && status != ncclSuccess)
        failure_ = std::string("NCCL: ") + ncclGetErrorString(status);
      if (host_.broken()) failure_ = "a process of the group is gone; see what it printed last";
      if (failure_.empty()) continue;
      ncclCommAbort(group_);
      return;
    }
  }

  HostCommunicator& host_;
  const Device device_;
  ncclComm_t group_ = nullptr;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ending_ = false;
  std::string failure_;
  std::thread watcher_;
};

}  // namespace

bool has_nccl() { return true; }
std::unique_ptr<Communicator> connect_nccl(HostCommunicator& host, Device device) {
  return std::make_unique<Nccl>(host, device);
}

#else

bool has_nccl() { return false; }
std::unique_ptr<Communicator> connect_nccl(HostCommunicator&, Device) {
  fail<UsageError>("this build cannot sum over GPUs: install libnccl-dev and build again, or train on one GPU");
}

#endif

}  // namespace visage::train
