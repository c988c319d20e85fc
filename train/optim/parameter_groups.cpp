#include "train/optim/parameter_groups.h"

namespace visage::train {
namespace {

// Scale or shift of a batch norm; buffers to a pretrained model.
bool is_norm_map(const nn::Entry& entry) {
  return entry.role == nn::Role::statistic &&
         (entry.name.ends_with(".norm.weight") || entry.name.ends_with(".norm.bias"));
}

}  // namespace

std::vector<TrainedParameter> trained_parameters(const nn::ParamStore& params, const TrainConfig& config) {
  std::vector<TrainedParameter> trained;
  for (const nn::Entry& entry : params.entries()) {
    const bool backbone = entry.name.starts_with("backbone.");
    const bool norm_map = config.backbone_norm == BackboneNorm::trained && backbone && is_norm_map(entry);
    if (entry.kind != nn::Kind::parameter && !norm_map) continue;
    const bool decays = !norm_map && entry.role != nn::Role::norm && entry.role != nn::Role::embedding;
    trained.push_back(
        {entry.name, entry.value, backbone ? config.backbone_factor : 1.0, decays ? config.weight_decay : 0.0});
  }
  return trained;
}

}  // namespace visage::train
