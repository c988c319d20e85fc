#include "train/optim/parameter_groups.h"

namespace visage::train {

std::vector<TrainedParameter> trained_parameters(const nn::ParamStore& params, const TrainConfig& config) {
  std::vector<TrainedParameter> trained;
  for (const nn::Entry& entry : params.entries()) {
    if (entry.kind != nn::Kind::parameter) continue;
    const bool decays = entry.role != nn::Role::norm && entry.role != nn::Role::embedding;
    const bool backbone = entry.name.starts_with("backbone.");
    trained.push_back(
        {entry.name, entry.value, backbone ? config.backbone_factor : 1.0, decays ? config.weight_decay : 0.0});
  }
  return trained;
}

}  // namespace visage::train
