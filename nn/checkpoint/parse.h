#pragma once
#include "nn/checkpoint/checkpoint.h"
#include "nn/checkpoint/file_bytes.h"

namespace visage::nn {

/// read_checkpoint() on bytes that are already there. throws CheckpointError.
Checkpoint parse_checkpoint(const FileBytes& file);

}  // namespace visage::nn
