#pragma once
#include "tensor/tensor.h"

#include <cstdint>
#include <span>
#include <vector>

namespace visage::pipeline {

/// A track with one class: a row of the final result.
struct ScoredTrack {
  int track = 0;
  int label = 0;     // class index, from 0
  double score = 0;  // class probability * mask quality, unless that is ignored
};

/// Whether the mask quality is a factor of the scores. Mask2Former-VIS goes by the class probability alone.
enum class MaskQuality { counts, is_ignored };

/// Class and mask evidence of every track, summed over the frames so far. The official rule: the softmax of the mean of
/// the slot-aligned logits; the K largest of all (track, class) probabilities, "no object" left out; each times the
/// track's mask quality, sum(sigmoid * [sigmoid > 0.5]) / (count + 1e-6) over all pixels of all frames.
class VideoScores {
 public:
  explicit VideoScores(int classes, MaskQuality quality = MaskQuality::counts);

  /// One frame: logits [Q, K + 1] f32 of all queries, and which query each track has (-1 for none). There may be more
  /// tracks than before, not less.
  void add_logits(const Tensor& logits, const std::vector<int>& query_of_track);
  /// One frame's mask of a track: the sum of its foreground probabilities and the number of foreground pixels.
  void add_quality(int track, double sum, std::int64_t count);
  /// Forgets a track, as if it never had a query.
  void remove(int track);

  /// Mean logits over the track's frames, [tracks, K + 1]; zeros for a track without frames.
  [[nodiscard]] Tensor mean_logits() const;
  /// The `k` best (track, class) pairs by class probability, best first; ties go to the lower track, then class. The
  /// returned scores include the mask quality, the order does not.
  [[nodiscard]] std::vector<ScoredTrack> top(int k) const;
  /// Each of these tracks that has frames, with the class that has its largest mean logit, best score first: what a
  /// frame lists.
  [[nodiscard]] std::vector<ScoredTrack> best_class_of(std::span<const int> tracks) const;
  /// 1 where it is ignored.
  [[nodiscard]] double quality(int track) const;
  std::int64_t frames() const { return frames_; }

 private:
  Tensor mean_logits_of(std::span<const int> tracks) const;
  std::vector<int> tracks_with_frames() const;

  int classes_;
  MaskQuality factor_;
  std::int64_t frames_ = 0;
  std::vector<double> logit_sums_;          // [tracks, classes + 1]
  std::vector<std::int64_t> logit_counts_;  // frames in which the track had a query
  std::vector<double> quality_sums_;
  std::vector<std::int64_t> quality_counts_;
};

}  // namespace visage::pipeline
