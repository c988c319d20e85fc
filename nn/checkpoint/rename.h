#pragma once
#include "nn/param_store.h"

#include <string>
#include <string_view>

namespace visage::nn {

/// The model's name of a tensor of a file: the name itself if the model has it, otherwise what the renames of
/// docs/checkpoints.md make of it, if the model has that; otherwise empty.
std::string model_name(const ParamStore& store, std::string_view file_name);

/// Tensors that official files carry and that are no part of the model: pixel mean and deviation (configuration here)
/// and the batch counters of frozen batch norms.
bool is_ignored(std::string_view file_name);

}  // namespace visage::nn
