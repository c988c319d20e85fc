#pragma once
#include "tensor/tensor.h"

#include <map>
#include <span>
#include <string>
#include <vector>

namespace visage::nn {

struct NamedTensor {
  std::string name;
  Tensor value;
};

/// What a weight file holds, in the file's own names, shapes and dtypes.
struct Checkpoint {
  std::vector<NamedTensor> tensors;
  std::map<std::string, std::string> metadata;
  std::string format;  // "safetensors", "torch zip", "torch legacy" or "numpy pickle"
  std::string path;

  /// Null when there is no such name.
  const Tensor* find(std::string_view name) const;
};

/// Reads safetensors, PyTorch .pth (zip and legacy) and detectron2 .pkl; the content decides, not the file's name.
/// Nothing in the file is executed: pickles may only use a fixed list of constructors.
/// Tensors are CPU views of the memory-mapped file wherever alignment and byte order allow, with any strides
/// (transposed, expanded by stride 0); the mapping is private, so writing to them never changes the file.
/// throws InputError if the file cannot be opened, CheckpointError if it is damaged, hostile or of no known format.
Checkpoint read_checkpoint(const std::string& path);

/// Writes tensors (CPU, any strides) as safetensors: sorted by element size so that all data is aligned, header padded
/// to 8 bytes. The file appears under its name only when it is complete.
/// throws InputError if it cannot be written.
void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// Writes tensors (CPU, any strides) as torch.save would write {"model": OrderedDict}, loadable by PyTorch and
/// detectron2. The file appears under its name only when it is complete.
/// throws InputError if it cannot be written or would need more than 4 GiB.
void write_pth(const std::string& path, std::span<const NamedTensor> tensors);

}  // namespace visage::nn
