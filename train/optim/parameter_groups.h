#pragma once
#include "nn/param_store.h"
#include "visage/config/train_config.h"

#include <string>
#include <vector>

namespace visage::train {

/// A trainable parameter with its share of the recipe.
struct TrainedParameter {
  std::string name;
  Tensor value;
  double learning_rate_factor = 1;
  double weight_decay = 0;
};

/// The official groups: a tenth of the learning rate for the backbone; weight decay for everything but the scales and
/// shifts of group and layer norms and the learned embeddings (nn.Embedding). Biases and the encoder's level embedding
/// do decay. With BackboneNorm::trained scales and shifts of the backbone's batch norms are trained, too.
/// What TrainConfig::freeze names is left out. throws UsageError for a name in it that fits no parameter, or if nothing
/// is left to train.
[[nodiscard]] std::vector<TrainedParameter> trained_parameters(const nn::ParamStore& params, const TrainConfig& config);

}  // namespace visage::train
