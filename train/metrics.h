#pragma once
#include "train/evaluation_set.h"
#include "train/trainer.h"

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace visage::train {

/// One evaluation of a run.
struct EvaluationReport {
  std::int64_t steps = 0;  // done before it
  double seconds = 0;
  std::vector<EvaluationScore> scores;

  /// Mean AP of the sets; what "best" means.
  [[nodiscard]] double ap() const;
};

/// Sees every record of a run, in order.
class MetricsReader {
 public:
  virtual ~MetricsReader() = default;
  virtual void add(const StepReport& step) = 0;
  virtual void add(const EvaluationReport& evaluation) = 0;
};

/// metrics.jsonl: a line of JSON for every step and every evaluation.
class MetricsFile {
 public:
  /// Continues the file after `steps` steps: later lines, of steps that will be done again, and damaged ones are
  /// dropped, the others go to `reader`. With 0 steps the file begins anew. throws InputError.
  MetricsFile(std::string path, std::int64_t steps, MetricsReader& reader);

  void add(const StepReport& step);
  void add(const EvaluationReport& evaluation);
  /// Hands the lines to the system. throws InputError.
  void flush();

 private:
  std::string path_;
  std::ofstream out_;
};

}  // namespace visage::train
