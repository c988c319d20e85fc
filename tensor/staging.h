#pragma once
#include "tensor/tensor.h"

#include <memory>
#include <vector>

namespace visage {

/// Data on its way to a device, copied beside the work that is queued there: a GPU reads the next frame while it works
/// on the last. On the CPU nothing runs beside anything; the copies are plain ones.
///   Upload upload(size, DType::u8, device);
///   fill(upload.host());  upload.send();  upload.deliver(input);  work_on(input);
class Upload {
 public:
  /// Takes host memory, page-locked for a GPU, and as much on the device. Waits for the device: make it once, keep it.
  Upload(const Dims& size, DType dtype, Device device);
  ~Upload();
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  /// Where to write what is sent next; waits until what was sent before has left.
  [[nodiscard]] const Tensor& host() const;
  /// Starts the copy, in no order with the current stream. The host memory must not be written until host() is called.
  void send();
  /// Gives `to`, of the same size and type on the device, what was sent last, in the order of the current stream.
  void deliver(const Tensor& to);

 private:
  struct Lane;
  Tensor host_;
  std::unique_ptr<Lane> lane_;  // on a GPU
};

/// Results on their way to the host, copied beside the work that is queued after them.
///   Download download(device);
///   download.start({scores, masks});  queue_the_next_work();  use(download.wait());
class Download {
 public:
  explicit Download(Device device);
  ~Download();
  Download(const Download&) = delete;
  Download& operator=(const Download&) = delete;

  /// Takes contiguous tensors as they are at this point of the current stream; later work may overwrite them. What was
  /// started before must have been waited for. The first call, and one with other sizes than the last, waits for the
  /// device to get memory. On the CPU the tensors themselves are kept.
  void start(const std::vector<Tensor>& tensors);
  /// What start() took, on the host, in its order; valid until the next start(). Waits for the copies alone.
  [[nodiscard]] const std::vector<Tensor>& wait() const;

 private:
  struct Lane;
  std::vector<Tensor> host_;
  std::unique_ptr<Lane> lane_;  // on a GPU
};

}  // namespace visage
