#pragma once
#include "nn/checkpoint/checkpoint.h"
#include "nn/param_store.h"

#include <string>
#include <vector>

namespace visage::nn {

/// Name prefixes that a load may leave alone; everything else has to fit. An entry that is left alone keeps what its
/// initialiser wrote, so initialise the store first.
struct LoadOptions {
  std::vector<std::string> allow_missing;     // model entries that the file may lack
  std::vector<std::string> allow_mismatch;    // model entries that the file may hold in another shape
  std::vector<std::string> allow_unexpected;  // file tensors that the model may have no place for
};

/// For the start of training from the Mask2Former COCO image checkpoint (model_final_3c8ec9.pkl), or from weights of
/// the other Mode: another number of classes, an appearance branch in the model or in the file alone.
LoadOptions image_checkpoint_options();

struct LoadReport {
  std::vector<std::string> loaded;         // entries of the model
  std::vector<std::string> renamed;        // "name in the file -> name in the model"
  std::vector<std::string> reinitialised;  // entries that kept their initial value, with the reason
  std::vector<std::string> ignored;        // file tensors that no model of ours has a place for
  std::vector<std::string> non_finite;     // loaded entries that hold NaN or infinity

  /// A few lines for a person: counts, and every name that is not simply loaded.
  std::string summary() const;
};

/// Copies a checkpoint into the model: any dtype to f32, convolutions from [O, I, kH, kW] to [O, kH, kW, I], names of
/// older files by the table in docs/checkpoints.md. Strict: what is missing, unexpected or of another shape and not
/// allowed by `options` makes it throw CheckpointError with the differences, and then the store is unchanged.
/// Bumps the version of every storage it writes. throws DeviceError if the store is not in host memory.
LoadReport load_into(ParamStore& store, const Checkpoint& checkpoint, const LoadOptions& options = {});

/// The state dict as a file has it: official names, convolutions as [O, I, kH, kW]. The tensors are views of the
/// store's memory, so most convolution weights are not contiguous; the writers take any strides.
std::vector<NamedTensor> file_tensors(const ParamStore& store);

}  // namespace visage::nn
