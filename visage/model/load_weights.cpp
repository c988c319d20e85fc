#include "visage/model/load_weights.h"

#include "nn/checkpoint/checkpoint.h"

#include <algorithm>

namespace visage {
namespace {

// The differences would say it, too, in names of tensors.
void check_mode(Mode mode, const nn::Checkpoint& checkpoint, const nn::LoadOptions& options) {
  const auto has = [&](std::string_view part) {
    return std::ranges::any_of(checkpoint.tensors,
                               [&](const nn::NamedTensor& t) { return t.name.find(part) != std::string::npos; });
  };
  if (!options.allow_missing.empty() || !has("sem_seg_head.predictor.")) return;
  if (has("appearance_decoder.")) {
    check<CheckpointError>(mode == Mode::online, "", checkpoint.path,
                           ": holds an online model (VISAGE), but the configuration is of an offline one; set "
                           "model.detector.mode = \"online\"");
  } else {
    check<CheckpointError>(mode == Mode::offline, "", checkpoint.path,
                           ": has no appearance branch, as VISAGE has; for weights of Mask2Former-VIS set "
                           "model.detector.mode = \"offline\"; an image model can only be trained on from");
  }
}

}  // namespace

nn::LoadReport load_weights(Model& model, const std::string& file, const nn::LoadOptions& options) {
  nn::Checkpoint checkpoint = nn::read_checkpoint(file);
  std::erase_if(checkpoint.tensors, [](const nn::NamedTensor& t) {
    return t.name.starts_with(kOptimizerState) || t.name.starts_with(kAveragedWeights);
  });
  check_mode(model.mode(), checkpoint, options);
  nn::LoadReport report = nn::load_into(model.params(), checkpoint, options);
  check<CheckpointError>(report.non_finite.empty(), "", file, ": ", report.non_finite.size(),
                         " tensors hold NaN or infinity, the first is ",
                         report.non_finite.empty() ? "" : report.non_finite.front(), "; use another checkpoint");
  return report;
}

}  // namespace visage
