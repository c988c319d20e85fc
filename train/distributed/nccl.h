#pragma once
#include "train/distributed/communicator.h"

#include <memory>

namespace visage::train {

/// Whether this build can sum over GPUs.
[[nodiscard]] bool has_nccl();

/// The GPUs of the group of `host`, one a process, which must outlive the result. Work is queued on the current stream.
/// A thread looks for processes that are gone and for errors of the library; it then ends what is queued, so that
/// nothing waits for ever, and later calls throw. throws UsageError in a build without NCCL, CommunicationError.
[[nodiscard]] std::unique_ptr<Communicator> connect_nccl(HostCommunicator& host, Device device);

}  // namespace visage::train
