#pragma once
#include "nn/checkpoint/checkpoint.h"
#include "nn/checkpoint/file_bytes.h"

namespace visage::nn {

bool looks_like_zip(const FileBytes& file);
bool looks_like_pickle(const FileBytes& file);

/// torch.save since PyTorch 1.6: a zip of one pickle and a record a storage. throws CheckpointError.
Checkpoint parse_torch_zip(const FileBytes& file);

/// A file that is a pickle from its first byte: torch.save before PyTorch 1.6 (a magic number, then storages behind
/// the pickles), or a dictionary of numpy arrays as detectron2 publishes. throws CheckpointError.
Checkpoint parse_pickle_file(const FileBytes& file);

}  // namespace visage::nn
