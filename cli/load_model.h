#pragma once
#include "visage/config/config.h"
#include "visage/model/model.h"

#include <memory>
#include <string>
#include <vector>

namespace visage::cli {

/// What a checkpoint may lack.
enum class Fit {
  strict,            // nothing
  image_checkpoint,  // what the Mask2Former COCO image checkpoint has no weights for, which is initialised instead
};

/// Where the weights come from, a file or a name, and where they go.
struct WeightChoice {
  std::string file;          // safetensors, .pth or .pkl
  std::string test_weights;  // name of the deterministic test weights
  Fit fit = Fit::strict;
  std::string device = "auto";  // as in parse_device
};

/// throws UsageError unless exactly one source is named, InputError if the file cannot be opened.
void check_choice(const WeightChoice& choice);

/// A model with its weights. What a person should know about them (renamed, left out, initialised, meaningless)
/// goes into `notes`. throws CheckpointError, InputError, or UsageError for an
/// impossible configuration or a device that is not there.
std::unique_ptr<Model> load_model(const ModelConfig& config, const WeightChoice& choice,
                                  std::vector<std::string>& notes);

}  // namespace visage::cli
