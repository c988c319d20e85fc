#pragma once
#include "tensor/tensor.h"

#include <cstdint>
#include <string>
#include <vector>

namespace visage::train {

/// A process of the group is gone, or the processes do not do the same. The others cannot go on without it.
struct CommunicationError : Error {
  using Error::Error;
};

/// The processes of a training run, one a device, and what they compute together. Every process makes the same calls in
/// the same order, from one thread at a time. All functions throw CommunicationError.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;  // from 0
  virtual int size() const = 0;
  /// Where the tensors must be.
  virtual Device device() const = 0;
  /// Replaces x, f32 or f64 and contiguous, by its sum over all processes: the same bits in all of them and in every
  /// run. On a GPU queued on the current stream; on the CPU done when the function returns.
  virtual void all_reduce(const Tensor& x) = 0;
  /// Replaces the contiguous x by that of process 0; likewise.
  virtual void broadcast(const Tensor& x) = 0;
};

/// Between the hosts: what is small, and the only one there is on CPUs.
class HostCommunicator : public Communicator {
 public:
  Device device() const final { return {}; }
  /// The bytes of every process, by rank, on process 0; nothing on the others.
  virtual std::vector<std::string> gather(const std::string& bytes) = 0;
  /// Returns when all processes have called it.
  virtual void barrier() = 0;
  /// Whether a process is known to be gone, without waiting. Any thread may ask.
  virtual bool broken() const { return false; }

  /// Whether any process says so; the same answer in all.
  [[nodiscard]] bool any(bool mine);
  /// What process 0 says.
  [[nodiscard]] bool of_first(bool mine);
};

/// A group of one: every function is the identity.
class SingleProcess final : public HostCommunicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void all_reduce(const Tensor&) override {}
  void broadcast(const Tensor&) override {}
  std::vector<std::string> gather(const std::string& bytes) override { return {bytes}; }
  void barrier() override {}
};

}  // namespace visage::train
