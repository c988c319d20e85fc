#pragma once
#include "nn/checkpoint/load.h"
#include "visage/model/model.h"

#include <string>

namespace visage {

/// What the state of a training run has beside the model, by the beginnings of the names.
inline constexpr const char* kOptimizerState = "optimizer.";
inline constexpr const char* kAveragedWeights = "ema.";

/// Loads a checkpoint file (safetensors, .pth or .pkl) into the model. Of the state of a training run that is the model
/// at its step, not the averages, which the run gives its model.safetensors.
/// throws InputError if the file cannot be read, CheckpointError if it does not fit or holds NaN or infinity.
nn::LoadReport load_weights(Model& model, const std::string& file, const nn::LoadOptions& options = {});

}  // namespace visage
