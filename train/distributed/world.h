#pragma once
#include "train/distributed/communicator.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace visage::train {

/// How a process is told what group it belongs to.
struct WorldOptions {
  std::optional<int> rank, size;
  std::string rendezvous;  // host:port of process 0
};

/// What a launcher left in the environment of a process.
struct Launch {
  enum class Kind { none, mpi, slurm } kind = Kind::none;
  int rank = 0, size = 1;
  int local_rank = 0;      // among the processes of this machine
  std::string rendezvous;  // of Slurm
};
/// Reads an environment: Open MPI, MPICH and others with PMI, or Slurm without either. `value` gives a variable, or
/// null.
[[nodiscard]] Launch launch_of(const std::function<const char*(const char*)>& value);
/// First machine of a Slurm node list: "a7" of "a[7-9,12],b3". throws UsageError.
[[nodiscard]] std::string first_node(const std::string& nodes);

/// The group of processes that this one trains with.
class World {
 public:
  /// Only this process.
  World();
  /// Joins the group that the options name, or that mpirun or srun has started; none of them: only this process.
  /// Returns when all are there. throws UsageError, CommunicationError.
  explicit World(const WorldOptions& options);

  /// Chooses the device of this process for "auto", "cpu", "cuda" (its own GPU of this machine) or "cuda:N", and
  /// connects the GPUs. Call once, before the first tensor is made. throws UsageError, DeviceError, CommunicationError.
  Device use_device(const std::string& name);

  int rank() const { return host_->rank(); }
  int size() const { return host_->size(); }
  bool is_first() const { return rank() == 0; }
  /// For what is small and on the host.
  HostCommunicator& host() const { return *host_; }
  /// For tensors on the device.
  Communicator& tensors() const { return device_ ? *device_ : *host_; }

 private:
  std::unique_ptr<HostCommunicator> host_;
  std::unique_ptr<Communicator> device_;  // on GPUs
  int local_rank_ = 0;
};

}  // namespace visage::train
