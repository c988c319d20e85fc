#pragma once
#include "nn/checkpoint/checkpoint.h"

#include <iosfwd>
#include <map>
#include <optional>
#include <span>
#include <string>

namespace visage::cli {

struct ConvertOptions {
  std::string input;
  std::string output;                         // .safetensors or .pth
  std::optional<DType> dtype = std::nullopt;  // f32, f16 or bf16, for all tensors of real numbers; absent: as they are
  std::string blend;                          // another file of the same model; empty: none
  double share = 0.5;                         // of that file in the result
};

/// `visage convert IN OUT`: rewrites a weight file of any format that can be read, dtypes and values unchanged unless
/// another dtype is asked for. With a second file, (1 - share) * input + share * blend for all tensors of real numbers:
/// the mean of two runs that began with the same weights (Wortsman et al. 2022). throws UsageError for another ending
/// of OUT, InputError, or CheckpointError, also for a finite value that the dtype cannot hold.
void convert(const ConvertOptions& options, std::ostream& out);

/// throws UsageError unless `file` ends in .safetensors or .pth.
void check_weight_name(const std::string& file);

/// Saves in the format that the file's name asks for; .pth holds no metadata. throws UsageError or InputError.
void save_weights(const std::string& file, std::span<const nn::NamedTensor> tensors,
                  const std::map<std::string, std::string>& metadata = {});

}  // namespace visage::cli
