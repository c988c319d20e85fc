#include "visage/model/load_weights.h"

#include "nn/checkpoint/checkpoint.h"

namespace visage {

nn::LoadReport load_weights(Model& model, const std::string& file, const nn::LoadOptions& options) {
  nn::Checkpoint checkpoint = nn::read_checkpoint(file);
  std::erase_if(checkpoint.tensors, [](const nn::NamedTensor& t) {
    return t.name.starts_with(kOptimizerState) || t.name.starts_with(kAveragedWeights);
  });
  nn::LoadReport report = nn::load_into(model.params(), checkpoint, options);
  check<CheckpointError>(report.non_finite.empty(), "", file, ": ", report.non_finite.size(),
                         " tensors hold NaN or infinity, the first is ",
                         report.non_finite.empty() ? "" : report.non_finite.front(), "; use another checkpoint");
  return report;
}

}  // namespace visage
