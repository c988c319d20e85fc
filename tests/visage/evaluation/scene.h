#pragma once
#include "visage/evaluation/evaluator.h"

#include <optional>
#include <vector>

namespace visage::evaluation {

/// Builds small data sets whose masks are whole columns, so that every overlap can be counted by hand.
class Scene {
 public:
  static constexpr std::int64_t kHeight = 4, kWidth = 100;

  explicit Scene(std::int64_t length, std::int64_t videos = 1) : length_(length) {
    data_.ground_truth = annotation::GroundTruth::present;
    for (std::int64_t id = 1; id <= videos; ++id) {
      data_.video_index.emplace(id, data_.videos.size());
      data_.videos.push_back({.id = id,
                              .height = kHeight,
                              .width = kWidth,
                              .file_names = std::vector<std::string>(static_cast<size_t>(length), "x.jpg")});
    }
    for (const std::int64_t id : {1, 2}) {
      data_.category_index.emplace(id, data_.categories.size());
      data_.categories.push_back({.id = id, .name = id == 1 ? "cat" : "dog", .supercategory = ""});
    }
  }

  /// Columns [first, first + count), or nothing.
  static std::optional<annotation::Rle> columns(std::int64_t first, std::int64_t count = 10) {
    if (first < 0) return std::nullopt;
    const std::int64_t before = first * kHeight, inside = count * kHeight;
    return annotation::rle_from_counts(kHeight, kWidth,
                                       std::vector<std::int64_t>{before, inside, kHeight * kWidth - before - inside});
  }

  struct Track {
    std::vector<std::int64_t> at;  // first column in every frame, -1 where absent
    std::int64_t width = 10, category = 1, video = 1;
    double score = 0.9;
    bool is_crowd = false;
  };

  void annotate(const Track& track) {
    annotation::TrackAnnotation annotation{.id = static_cast<std::int64_t>(data_.annotations.size()) + 1,
                                           .video_id = track.video,
                                           .category_id = track.category,
                                           .is_crowd = track.is_crowd,
                                           .masks = {},
                                           .boxes = {},
                                           .areas = {}};
    for (const std::int64_t first : track.at) {
      annotation.masks.push_back(columns(first, track.width));
      annotation.areas.push_back(static_cast<double>(track.width * kHeight));
    }
    data_.annotations.push_back(std::move(annotation));
  }

  void predict(const Track& track) {
    annotation::Prediction prediction{
        .video_id = track.video, .score = track.score, .category_id = track.category, .masks = {}};
    for (const std::int64_t first : track.at) prediction.masks.push_back(columns(first, track.width));
    predictions_.push_back(std::move(prediction));
  }

  [[nodiscard]] Evaluation evaluate(const TrackingOptions& options = {}) const {
    Evaluator evaluator(data_, options);
    evaluator.add(predictions_);
    return evaluator.result();
  }

  annotation::VideoDataset& data() { return data_; }
  std::vector<annotation::Prediction>& predictions() { return predictions_; }
  [[nodiscard]] std::int64_t length() const { return length_; }

 private:
  std::int64_t length_;
  annotation::VideoDataset data_;
  std::vector<annotation::Prediction> predictions_;
};

}  // namespace visage::evaluation
