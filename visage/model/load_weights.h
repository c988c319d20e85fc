#pragma once
#include "nn/checkpoint/load.h"
#include "visage/model/model.h"

#include <string>

namespace visage {

/// Loads a checkpoint file (safetensors, .pth or .pkl) into the model; of a training checkpoint, what is the model's.
/// throws InputError if the file cannot be read, CheckpointError if it does not fit or holds NaN or infinity.
nn::LoadReport load_weights(Model& model, const std::string& file, const nn::LoadOptions& options = {});

}  // namespace visage
