#pragma once
#include "train/distributed/communicator.h"
#include "visage/annotation/ytvis.h"
#include "visage/config/config.h"
#include "visage/model/model.h"
#include "visage/pseudo/pseudo_video.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace visage::train {

/// Scores of one set of videos, fractions of 1, negative where nothing is annotated (docs/evaluation.md).
struct EvaluationScore {
  std::string set;  // "track", "swap" or "data"
  double ap = -1, ap50 = -1, ap75 = -1, ar1 = -1, ar10 = -1, hota = -1, idf1 = -1;
  std::int64_t id_switches = 0;
};

/// Thrown by a progress to end an evaluation.
struct EvaluationEnded {};

/// Called with the frames done and their number; ends the evaluation by throwing EvaluationEnded.
using EvaluationProgress = std::function<void(std::int64_t done, std::int64_t frames)>;

/// Videos with ground truth that a model is scored on while it trains.
class EvaluationSet {
 public:
  /// A data set in YouTube-VIS layout. throws InputError in the words of `visage data check`, or if it has no ground
  /// truth, misses an image or has other classes than the model.
  EvaluationSet(const TrainEvalConfig& data, int classes);
  /// Synthetic videos, which prepare() draws into `folder`. throws UsageError for options no video can have.
  EvaluationSet(const pseudo::PseudoOptions& options, std::int64_t videos, std::string folder);

  /// Makes the files that are missing. Synthetic videos of an earlier run with the same options stay.
  void prepare(int classes);
  const std::string& name() const { return name_; }
  /// Tracks and scores every video, of which each process of the group takes its share; the score is that of process 0,
  /// the others return none. throws InputError for an image that cannot be read, and EvaluationEnded in all processes
  /// if the progress of one does.
  [[nodiscard]] EvaluationScore score(const Model& model, const Config& config, HostCommunicator& group,
                                      const EvaluationProgress& progress) const;

 private:
  void open(const std::string& annotations, std::string images, int classes);

  std::string name_, images_;
  std::optional<pseudo::PseudoOptions> options_;  // of synthetic videos
  std::int64_t videos_ = 0;
  std::string folder_;
  annotation::VideoDataset dataset_;
  std::vector<std::int64_t> category_ids_;
};

/// The sets that train.eval of a configuration names; synthetic ones lie in folders of `folder`. Nothing is written.
/// throws as the constructors.
[[nodiscard]] std::vector<EvaluationSet> make_evaluation_sets(const Config& config, const std::string& folder);

}  // namespace visage::train
