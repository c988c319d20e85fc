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
  std::vector<bool> used(config.freeze.size());
  const auto is_frozen = [&](const std::string& name) {
    bool frozen = false;
    for (std::size_t i = 0; i < used.size(); ++i)
      if (name.starts_with(config.freeze[i])) frozen = used[i] = true;
    return frozen;
  };
  for (const nn::Entry& entry : params.entries()) {
    const bool backbone = entry.name.starts_with("backbone.");
    const bool norm_map = config.backbone_norm == BackboneNorm::trained && backbone && is_norm_map(entry);
    if ((entry.kind != nn::Kind::parameter && !norm_map) || is_frozen(entry.name)) continue;
    const bool decays = !norm_map && entry.role != nn::Role::norm && entry.role != nn::Role::embedding;
    trained.push_back(
        {entry.name, entry.value, backbone ? config.backbone_factor : 1.0, decays ? config.weight_decay : 0.0});
  }
  for (std::size_t i = 0; i < used.size(); ++i)
    check<UsageError>(used[i], "train.freeze: no parameter's name begins with \"", config.freeze[i],
                      "\"; visage inspect lists the names in a weight file");
  check<UsageError>(!trained.empty(), "train.freeze leaves no parameter to train");
  return trained;
}

}  // namespace visage::train
