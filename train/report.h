#pragma once
#include "train/chart.h"
#include "train/metrics.h"

#include <deque>
#include <string>

namespace visage::train {

/// report.html of a run: curves of losses, learning rate, gradient norm, speed and scores, and the configuration. Its
/// memory does not grow with the run.
class RunReport final : public MetricsReader {
 public:
  /// `name` of the run; a page of `config` and its steps.
  RunReport(std::string name, const Config& config);

  void add(const StepReport& step) override;
  void add(const EvaluationReport& evaluation) override;
  /// The evaluations so far.
  const std::vector<EvaluationReport>& evaluations() const { return evaluations_; }

  /// The page as it stands: self-contained, light and dark. throws InputError.
  void write(const std::string& path) const;

 private:
  Curve& curve(std::deque<Curve>& curves, const std::string& name);
  void write_figures(std::ostream& out) const;
  void write_curves(std::ostream& out) const;
  void write_evaluations(std::ostream& out) const;
  void write_configuration(std::ostream& out) const;

  std::string name_;
  const Config config_;
  Curve loss_, learning_rate_, gradient_norm_, speed_, waiting_;
  std::deque<Curve> terms_, scores_;
  std::vector<EvaluationReport> evaluations_;
  std::int64_t steps_ = 0, images_ = 0;
  double seconds_ = 0;
};

}  // namespace visage::train
