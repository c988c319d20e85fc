#pragma once
#include "train/distributed/world.h"
#include "train/metrics.h"

#include <cstdint>
#include <string>

namespace visage::train {

struct RunOptions {
  Config config;
  std::string folder;  // docs/training.md says what is in it
  Device device;
  std::string init_weights;  // checkpoint to start from; empty: random weights from train.seed
  enum class Start { fresh, resume } start = Start::fresh;
};

/// Sees what happens in a run, and may end it.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void note(const std::string& text) = 0;
  virtual void stepped(const StepReport& step) = 0;
  /// `done` of `frames` frames of the set are tracked.
  virtual void evaluating(const std::string& set, std::int64_t done, std::int64_t frames) = 0;
  virtual void evaluated(const EvaluationReport& evaluation) = 0;
  /// Asked between steps and between evaluated frames.
  virtual bool stop_requested() const = 0;
};

/// Trains a model from the first step to the last, with evaluations, checkpoints and a report on the way. A fresh run
/// refuses a folder that holds one already; a resumed run continues from its newest checkpoint and gives the bits of a
/// run that never stopped. Weights, data and configuration are checked before anything is written. When the observer
/// asks for an end, a checkpoint is written and the function returns.
///
/// With several processes all call this with the same options, and process 0 alone writes and observes; the others need
/// to see its folder only for evaluations on synthetic videos. When any of them is asked for an end, all end after the
/// same step.
/// throws UsageError, InputError, CheckpointError, CommunicationError, or NonFiniteStep after writing
/// nonfinite_step_N.json and a checkpoint of the state before the step.
void run(const RunOptions& options, const World& world, RunObserver& observer);

}  // namespace visage::train
