#pragma once
#include "train/data/loader.h"
#include "train/optim/parameter_groups.h"
#include "visage/config/config.h"
#include "visage/model/training_losses.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace visage::train {

/// What one step did.
struct StepReport {
  std::int64_t step = 0;                              // from 0
  double total = 0;                                   // weighted loss
  std::vector<std::pair<std::string, double>> terms;  // weighted, the prediction heads of a kind added up
  double gradient_norm = 0, learning_rate = 0;
  double seconds = 0, data_seconds = 0;  // wall clock; of it, waiting for the loader
  std::int64_t images = 0;
};

/// The training loop: clips, losses, gradients, clipping, AdamW. Everything random is a function of the seed and the
/// step, so a run that continues from a checkpoint gives the same bits as one that never stopped (on the same number of
/// threads).
class Trainer {
 public:
  /// The model is trained in place and must outlive the trainer. throws UsageError or InputError if the data cannot
  /// be used, or if this machine lacks train.precision.
  Trainer(const Config& config, Model& model);

  /// Writes model, optimizer state and step; the file appears only when it is complete. throws InputError.
  void save(const std::string& path) const;
  /// Continues where save() was called. throws CheckpointError if the file does not fit the model or the recipe.
  void load(const std::string& path);

  /// One step. throws Error naming the step, the loss terms or parameters and the clips if a loss or a gradient is not
  /// finite; parameters are then as before the step.
  StepReport step();
  std::int64_t steps_done() const { return step_; }

 private:
  std::vector<Tensor> gradients() const;
  void check_finite(const TrainingLosses& losses, const Batch& batch) const;

  const Config config_;
  Model& model_;
  const DType products_;
  std::vector<TrainedParameter> parameters_;
  std::vector<Tensor> exp_avg_, exp_avg_sq_;
  std::int64_t step_ = 0;
  std::unique_ptr<Loader> loader_;  // made when the first step is known
};

}  // namespace visage::train
