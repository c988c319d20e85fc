#pragma once
#include "train/distributed/communicator.h"

#include <memory>

namespace visage::train {

/// Whether this build can talk MPI.
[[nodiscard]] bool has_mpi();

/// The processes that mpirun or srun has started together. Made once in the life of a process. When it goes while an
/// exception is on its way, MPI is left unfinalised: mpirun then stops the other processes.
/// throws UsageError in a build without MPI, CommunicationError if MPI does not start.
[[nodiscard]] std::unique_ptr<HostCommunicator> connect_mpi();

}  // namespace visage::train
