#pragma once
#include "visage/evaluation/tracking_metrics.h"
#include "visage/evaluation/vis_ap.h"

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace visage::evaluation {

struct Evaluation {
  VisAp ap;
  TrackingMetrics tracking;
  std::int64_t videos = 0, predictions = 0;
  std::int64_t videos_without_predictions = 0;  // every object in them counts as missed
};

/// Scores predictions against a data set as they arrive: of their masks only overlaps with the annotated objects are
/// kept, so that memory does not grow with the number of pixels.
///
///   Evaluator evaluator(dataset);
///   for (...) evaluator.add(predictions_of_a_video);
///   Evaluation evaluation = evaluator.result();
class Evaluator {
 public:
  /// Throws InputError if the data set came without ground truth, UsageError for impossible options.
  explicit Evaluator(const annotation::VideoDataset& dataset, const TrackingOptions& options = {});

  /// Adds predictions of any videos, in parallel. Equal scores rank in the order of arrival. As in the official code, a
  /// prediction of a category that the data set does not have is dropped (warnings() says so), and one of an unknown
  /// video is an error: InputError, as for masks or scores that overlap_with refuses. Nothing is added then.
  void add(std::span<const annotation::Prediction> predictions);

  /// Adds a results file without ever holding all of its masks. `dataset` is the one the evaluator was made with.
  /// Throws InputError as annotation::for_each_prediction does, which refuses unknown categories, too.
  void add_file(const std::string& path, const annotation::VideoDataset& dataset);

  [[nodiscard]] Evaluation result() const;
  /// The same for some videos only, for example the long ones of YouTube-VIS 2022. Throws InputError for an unknown id.
  [[nodiscard]] Evaluation result(std::span<const std::int64_t> video_ids) const;

  [[nodiscard]] const std::vector<EvaluatedVideo>& videos() const { return videos_; }
  [[nodiscard]] const std::vector<annotation::Category>& categories() const { return categories_; }
  /// What was dropped, a line each.
  [[nodiscard]] std::vector<std::string> warnings() const;

 private:
  [[nodiscard]] size_t position_of(std::int64_t video_id) const;
  [[nodiscard]] Evaluation evaluate(std::span<const EvaluatedVideo* const> videos) const;

  TrackingOptions options_;
  std::vector<EvaluatedVideo> videos_;  // ascending id
  std::unordered_map<std::int64_t, size_t> position_;
  std::vector<annotation::Category> categories_;
  annotation::IdIndex category_index_;
  std::int64_t arrived_ = 0;
  std::unordered_map<std::int64_t, std::int64_t> dropped_;  // predictions of each unknown category
};

}  // namespace visage::evaluation
