#pragma once
#include "train/data/loader.h"
#include "train/distributed/gradient_reducer.h"
#include "train/distributed/world.h"
#include "train/optim/parameter_groups.h"
#include "visage/config/config.h"
#include "visage/model/training_losses.h"

#include <memory>
#include <string>
#include <vector>

namespace visage::train {

/// What one step did.
struct StepReport {
  std::int64_t step = 0;                              // from 0
  double total = 0;                                   // weighted loss of all parts of the step
  std::vector<std::pair<std::string, double>> terms;  // weighted, the prediction heads of a kind added up
  double gradient_norm = 0, learning_rate = 0;
  double seconds = 0, data_seconds = 0;  // wall clock; of it, waiting for the loader
  std::int64_t images = 0;               // of all processes
};

/// A step that was not made because a loss or a gradient is not a number.
struct NonFiniteStep : NonFiniteError {
  NonFiniteStep(const std::string& message, StepReport so_far, std::vector<std::string> step_clips)
      : NonFiniteError(message), report(std::move(so_far)), clips(std::move(step_clips)) {}

  StepReport report;               // as far as the step came
  std::vector<std::string> clips;  // every clip of the step: video and frames
};

/// The training loop: clips, losses, gradients, clipping, AdamW. Everything random is a function of the seed and the
/// step, so a run that continues from a checkpoint gives the same bits as one that never stopped (on the same number of
/// threads).
///
/// A step is over train.accumulate batches of train.clips clips, every batch shared equally by the processes of a
/// group. The losses are normalised over all of them, all are padded to the largest, and points are drawn for all, so
/// the step is that of one process with one batch of all these clips, but for rounding and for the data sets that
/// homogeneous batches are drawn from.
class Trainer {
 public:
  /// The model is trained in place and must outlive the trainer; so must the group of processes, all of which make the
  /// same calls. throws UsageError or InputError if the data cannot be used, or if this machine lacks train.precision.
  Trainer(const Config& config, Model& model);
  Trainer(const Config& config, Model& model, const World& world);

  /// Gives the backbone's batch norms the statistics of the first batch: for random weights and
  /// BackboneNorm::trained, before the first step.
  void calibrate_backbone();

  /// Writes model, averages, optimizer state and step; the file appears only when it is complete. throws InputError.
  void save(const std::string& path) const;
  /// Continues where save() was called. throws CheckpointError if the file does not fit the model or the recipe; model
  /// and trainer are then unchanged.
  void load(const std::string& path);
  /// Gives model, averages, optimizer state and step of process 0 to all.
  void share_state();

  /// One step. throws CommunicationError if a process is gone; throws NonFiniteStep naming the step, the loss term or
  /// parameter and the clips if a loss or a gradient is not finite; parameters are then as before the step.
  StepReport step();
  std::int64_t steps_done() const { return step_; }
  int processes() const { return world_.size(); }

 private:
  friend class AveragedWeights;
  Batch next_batch(StepReport& report);
  struct Contribution;
  BatchOptions batches() const;
  /// Pads the batches of this process to the largest of the step, and says what parts of it they are.
  std::vector<BatchShare> join_parts(std::vector<Batch>& batches) const;
  Contribution back_propagate(std::vector<Batch>& batches);
  TrainingLosses back_propagate(const Batch& batch, const BatchShare& share, bool last);
  void update(StepReport& report);
  void swap_averages();

  const Config config_;
  Model& model_;
  const World alone_;
  const World& world_;
  TrainingObjective objective_;
  std::vector<Source> sources_;
  std::vector<TrainedParameter> parameters_;
  std::vector<Tensor> exp_avg_, exp_avg_sq_;
  std::vector<Tensor> averages_;  // empty without train.ema_decay
  std::int64_t step_ = 0;
  std::unique_ptr<GradientReducer> reducer_;  // with several processes
  std::unique_ptr<Loader> loader_;            // made when the first step is known
};

/// While it lives, the model has the moving averages of its parameters (with train.ema_decay 0, its parameters), which
/// are for evaluation and for use.
class AveragedWeights {
 public:
  explicit AveragedWeights(Trainer& trainer) : trainer_(trainer) { trainer_.swap_averages(); }
  ~AveragedWeights() { trainer_.swap_averages(); }
  AveragedWeights(const AveragedWeights&) = delete;
  AveragedWeights& operator=(const AveragedWeights&) = delete;

 private:
  Trainer& trainer_;
};

}  // namespace visage::train
