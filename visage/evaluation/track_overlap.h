#pragma once
#include "visage/annotation/results.h"
#include "visage/annotation/ytvis.h"

#include <cstdint>
#include <vector>

namespace visage::evaluation {

/// Foreground of one mask as runs [begin, end) of column-major pixel indices, ascending.
struct Runs {
  std::vector<std::uint32_t> begin, end;
  std::int64_t area = 0;  // pixels; 0 where the object is absent
};

/// An annotated object, its masks taken apart once for all predictions.
struct TruthTrack {
  std::int64_t annotation_id = 0, category_id = 0;
  bool is_crowd = false;
  double average_area = 0;  // mean of the annotation's areas that are neither absent nor 0, as the file says; else 0
  std::int64_t area = 0;    // pixels of all frames, from the masks
  std::vector<Runs> frames;
};

struct TruthVideo {
  std::int64_t id = 0, height = 0, width = 0, length = 0;
  std::vector<TruthTrack> tracks;  // in the order of the file
};

/// A predicted mask of one frame against all annotated objects of that frame.
struct FrameOverlap {
  std::int64_t frame = 0, area = 0;        // pixels, more than 0
  std::vector<std::int64_t> intersection;  // pixels, one a truth track
};

/// What is left of a prediction when its masks are gone; every metric is computed from this.
struct PredictedTrack {
  std::int64_t id = 0;  // 1, 2, ... in the order of arrival, as the official loader numbers them
  std::int64_t category_id = 0;
  double score = 0;
  double average_area = 0;                 // mean over the frames with a mask; 0 without any
  std::int64_t area = 0;                   // pixels of all frames
  std::vector<std::int64_t> intersection;  // pixels of all frames, one a truth track; 0 for other categories
  std::vector<FrameOverlap> frames;        // frames with a mask; only with FrameDetail::keep
};

/// Whether the overlaps of single frames are needed (for tracking metrics) or their sums suffice (for AP).
enum class FrameDetail { drop, keep };

/// Ground truth and predictions of one video.
struct EvaluatedVideo {
  TruthVideo truth;
  std::vector<PredictedTrack> predictions;  // ascending id
};

/// The videos of a data set in ascending id, without predictions.
[[nodiscard]] std::vector<EvaluatedVideo> prepare_videos(const annotation::VideoDataset& dataset);

/// Compares a prediction with the objects of its video; its id is left 0. Cost grows with the runs of its masks and of
/// the objects in the same image columns. Throws InputError for another number of masks than the video has frames, a
/// mask of another size, and a score that is not finite.
[[nodiscard]] PredictedTrack overlap_with(const TruthVideo& video, const annotation::Prediction& prediction,
                                          FrameDetail detail);

}  // namespace visage::evaluation
