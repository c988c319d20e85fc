#pragma once
#include "cli/evaluation_sets.h"
#include "cli/load_model.h"
#include "visage/pipeline/video_pipeline.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace visage::cli {

/// What every experiment asks for: a model and data with ground truth.
struct ExperimentCommand {
  SetOptions sets;
  std::string config;  // file; empty: the defaults
  std::vector<std::string> overrides;
  WeightChoice weights;
  Precision precision = Precision::f32;
  int threads = 0;  // 0: all cores
  Verbosity verbosity = Verbosity::normal;
};

/// The options that every experiment has.
void add_experiment(CLI::App& app, ExperimentCommand& command);

/// The model and the data, ready.
class Experiment {
 public:
  /// `modes` of the sets that are made where none are named. throws UsageError, InputError or CheckpointError.
  Experiment(const ExperimentCommand& command, std::span<const pseudo::Mode> modes);

  const Config& config() const { return config_; }
  Detector& detector() const { return *detector_; }
  const EvaluationSets& sets() const { return sets_; }
  const pipeline::PipelineOptions& options() const { return options_; }
  /// Which weights on which data, when and where: a line for a report.
  std::string conditions() const;

 private:
  Config config_;
  std::string weights_;
  std::unique_ptr<Model> model_;
  pipeline::PipelineOptions options_;
  std::unique_ptr<Detector> detector_;
  EvaluationSets sets_;
};

/// A fraction in percent, "12.3".
[[nodiscard]] std::string percent_text(double fraction);
/// Mean and deviation of fractions in percent, "12.3 +- 0.4"; the mean alone for a single value.
[[nodiscard]] std::string percent_text(std::span<const double> fractions);

}  // namespace visage::cli
