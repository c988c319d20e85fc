#pragma once
#include "nn/checkpoint/checkpoint.h"
#include "nn/checkpoint/file_bytes.h"
#include "nn/checkpoint/pickle_value.h"

#include <functional>

namespace visage::nn {

/// Bytes of a torch storage; its size was checked. throws CheckpointError.
using StorageLoader = std::function<std::shared_ptr<Storage>(const pickle::StorageRef&)>;

/// Turns an unpickled checkpoint into named tensors. Entries "model" and "state_dict" of the outer dictionaries are
/// entered, their plain neighbours become metadata; dictionaries inside the state dict are joined to their parents by
/// dots. throws CheckpointError naming the tensor at fault.
Checkpoint extract_state_dict(const FileBytes& file, const pickle::Value& root, const StorageLoader& load_storage);

}  // namespace visage::nn
