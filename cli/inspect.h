#pragma once
#include "nn/param_store.h"

#include <iosfwd>
#include <string>

namespace visage::cli {

/// `visage inspect FILE`: every tensor of a weight file with dtype, shape and bytes, then totals and metadata.
/// throws InputError or CheckpointError.
void inspect(const std::string& file, std::ostream& out);

/// `visage inspect --make-test-weights NAME OUT`: fills the model from the hash streams "NAME/..." and saves it; NAME
/// "public" gives the weights of the recorded reference numbers. OUT ends in .safetensors or .pth.
/// throws UsageError for another ending, InputError if OUT cannot be written.
void make_test_weights(nn::ParamStore& store, const std::string& name, const std::string& file, std::ostream& out);

}  // namespace visage::cli
