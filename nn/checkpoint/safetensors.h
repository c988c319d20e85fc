#pragma once
#include "nn/checkpoint/checkpoint.h"
#include "nn/checkpoint/file_bytes.h"

namespace visage::nn {

/// Whether the content starts like safetensors: a header length that fits, then '{'.
bool looks_like_safetensors(const FileBytes& file);

/// Format: https://huggingface.co/docs/safetensors. 8-byte little-endian header length, JSON header, raw data without
/// holes or overlaps. throws CheckpointError naming the tensor at fault.
Checkpoint parse_safetensors(const FileBytes& file);

}  // namespace visage::nn
