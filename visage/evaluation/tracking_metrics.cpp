#include "visage/evaluation/tracking_metrics.h"

#include "ops/assign/hungarian.h"
#include "tensor/cpu/parallel.h"
#include "tensor/error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

namespace visage::evaluation {
namespace {

using Videos = std::span<const EvaluatedVideo* const>;

constexpr size_t kAlphas = 19;
constexpr double alpha(size_t index) { return 0.05 * static_cast<double>(index + 1); }

// What is seen in one frame: positions in the clip's lists of objects and tracks, and their IoUs.
struct FrameIou {
  std::vector<size_t> truths, tracks;
  std::vector<double> iou;  // [truths, tracks]
  [[nodiscard]] double at(size_t truth, size_t track) const { return iou[truth * tracks.size() + track]; }
};

// The objects and tracks of one video that take part.
struct Clip {
  size_t truths = 0, tracks = 0;
  std::vector<FrameIou> frames;
};

// Sums over videos from which every ratio is made.
struct Counts {
  std::int64_t truth_masks = 0, predicted_masks = 0, id_true_positives = 0, id_switches = 0;
  std::array<double, kAlphas> true_positives{}, association{};

  void add(const Counts& other) {
    truth_masks += other.truth_masks;
    predicted_masks += other.predicted_masks;
    id_true_positives += other.id_true_positives;
    id_switches += other.id_switches;
    for (size_t i = 0; i < kAlphas; ++i) {
      true_positives[i] += other.true_positives[i];
      association[i] += other.association[i];
    }
  }
};

// A dense table [truths, tracks].
struct Table {
  Table(size_t rows, size_t columns) : columns_(columns), values(rows * columns, 0) {}
  double& at(size_t row, size_t column) { return values[row * columns_ + column]; }
  size_t columns_;
  std::vector<double> values;
};

std::vector<int> best_pairs(const std::vector<double>& gains, size_t rows, size_t columns) {
  if (rows == 0 || columns == 0) return std::vector<int>(rows, -1);
  return ops::assign(gains, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns),
                     ops::Objective::maximise)
      .column_of_row;
}

// Selects from a video what a metric looks at. Without a category everything takes part.
class ClipBuilder {
 public:
  ClipBuilder(const EvaluatedVideo& video, std::optional<std::int64_t> category, const TrackingOptions& options)
      : video_(video), options_(options) {
    for (size_t i = 0; i < video.truth.tracks.size(); ++i) {
      const TruthTrack& truth = video.truth.tracks[i];
      if (!category || truth.category_id == *category) (truth.is_crowd ? crowds_ : objects_).push_back(i);
    }
    for (const PredictedTrack& track : video.predictions) {
      if (track.score >= options.min_score && (!category || track.category_id == *category)) tracks_.push_back(&track);
    }
  }

  [[nodiscard]] Clip build() const {
    Clip clip{.truths = objects_.size(),
              .tracks = tracks_.size(),
              .frames = std::vector<FrameIou>(static_cast<size_t>(video_.truth.length))};
    std::vector<size_t> next(tracks_.size(), 0);
    for (size_t frame = 0; frame < clip.frames.size(); ++frame) clip.frames[frame] = build_frame(frame, next);
    return clip;
  }

 private:
  // `next` is the position in every track's list of frames.
  FrameIou build_frame(size_t frame, std::vector<size_t>& next) const {
    FrameIou result;
    for (size_t i = 0; i < objects_.size(); ++i)
      if (truth_area(objects_[i], frame) > 0) result.truths.push_back(i);
    std::vector<const FrameOverlap*> seen;
    for (size_t i = 0; i < tracks_.size(); ++i) {
      const std::vector<FrameOverlap>& frames = tracks_[i]->frames;
      if (next[i] == frames.size() || frames[next[i]].frame != static_cast<std::int64_t>(frame)) continue;
      const FrameOverlap& overlap = frames[next[i]++];
      if (lies_in_crowd(overlap, frame)) continue;
      result.tracks.push_back(i);
      seen.push_back(&overlap);
    }
    for (const size_t truth : result.truths)
      for (const FrameOverlap* overlap : seen) result.iou.push_back(iou(*overlap, objects_[truth], frame));
    return result;
  }

  [[nodiscard]] std::int64_t truth_area(size_t index, size_t frame) const {
    return video_.truth.tracks[index].frames[frame].area;
  }

  [[nodiscard]] double iou(const FrameOverlap& overlap, size_t index, size_t frame) const {
    const std::int64_t shared = overlap.intersection[index];
    return static_cast<double>(shared) / static_cast<double>(overlap.area + truth_area(index, frame) - shared);
  }

  [[nodiscard]] bool lies_in_crowd(const FrameOverlap& overlap, size_t frame) const {
    std::int64_t covered = 0;
    for (const size_t crowd : crowds_) covered += overlap.intersection[crowd];
    if (2 * covered <= overlap.area) return false;
    return std::none_of(objects_.begin(), objects_.end(),
                        [&](size_t object) { return iou(overlap, object, frame) >= options_.min_iou; });
  }

  const EvaluatedVideo& video_;
  const TrackingOptions& options_;
  std::vector<size_t> objects_, crowds_;  // positions in the video's list
  std::vector<const PredictedTrack*> tracks_;
};

// In how many frames every object and every track is seen.
struct Lengths {
  explicit Lengths(const Clip& clip) : truths(clip.truths, 0), tracks(clip.tracks, 0) {
    for (const FrameIou& frame : clip.frames) {
      for (const size_t truth : frame.truths) truths[truth] += 1;
      for (const size_t track : frame.tracks) tracks[track] += 1;
    }
  }
  std::vector<double> truths, tracks;
};

std::int64_t count_id_true_positives(const Clip& clip, double min_iou) {
  Table together(clip.truths, clip.tracks);
  for (const FrameIou& frame : clip.frames)
    for (size_t i = 0; i < frame.truths.size(); ++i)
      for (size_t j = 0; j < frame.tracks.size(); ++j)
        if (frame.at(i, j) >= min_iou) together.at(frame.truths[i], frame.tracks[j]) += 1;
  const std::vector<int> track_of = best_pairs(together.values, clip.truths, clip.tracks);
  double sum = 0;
  for (size_t truth = 0; truth < clip.truths; ++truth)
    if (track_of[truth] >= 0) sum += together.at(truth, static_cast<size_t>(track_of[truth]));
  return static_cast<std::int64_t>(sum);
}

std::int64_t count_id_switches(const Clip& clip, double min_iou) {
  // More than all IoUs of a frame can add up to, so that no running match is given up for better ones.
  constexpr double kContinuation = 1e4;
  constexpr int kNever = -1;
  std::vector<int> last(clip.truths, kNever), before(clip.truths, kNever);
  std::int64_t switches = 0;
  for (const FrameIou& frame : clip.frames) {
    std::vector<double> gains(frame.iou.size(), 0);
    for (size_t i = 0; i < frame.truths.size(); ++i)
      for (size_t j = 0; j < frame.tracks.size(); ++j) {
        const bool goes_on = before[frame.truths[i]] == static_cast<int>(frame.tracks[j]);
        if (frame.at(i, j) >= min_iou)
          gains[i * frame.tracks.size() + j] = frame.at(i, j) + (goes_on ? kContinuation : 0);
      }
    const std::vector<int> pairs = best_pairs(gains, frame.truths.size(), frame.tracks.size());
    std::fill(before.begin(), before.end(), kNever);
    for (size_t i = 0; i < frame.truths.size(); ++i) {
      if (pairs[i] < 0 || gains[i * frame.tracks.size() + static_cast<size_t>(pairs[i])] <= 0) continue;
      const size_t truth = frame.truths[i];
      const int track = static_cast<int>(frame.tracks[static_cast<size_t>(pairs[i])]);
      if (last[truth] != kNever && last[truth] != track) ++switches;
      last[truth] = before[truth] = track;
    }
  }
  return switches;
}

// How well each object and track fit over the whole clip, by a soft Jaccard index: HOTA's matching prefers pairs that
// belong together in other frames.
Table global_alignment(const Clip& clip, const Lengths& lengths) {
  Table shared(clip.truths, clip.tracks);
  for (const FrameIou& frame : clip.frames) {
    std::vector<double> row_sum(frame.truths.size(), 0), column_sum(frame.tracks.size(), 0);
    for (size_t i = 0; i < frame.truths.size(); ++i)
      for (size_t j = 0; j < frame.tracks.size(); ++j) {
        row_sum[i] += frame.at(i, j);
        column_sum[j] += frame.at(i, j);
      }
    for (size_t i = 0; i < frame.truths.size(); ++i)
      for (size_t j = 0; j < frame.tracks.size(); ++j) {
        const double whole = row_sum[i] + column_sum[j] - frame.at(i, j);
        if (whole > 0) shared.at(frame.truths[i], frame.tracks[j]) += frame.at(i, j) / whole;
      }
  }
  for (size_t i = 0; i < clip.truths; ++i)
    for (size_t j = 0; j < clip.tracks; ++j) {
      const double whole = lengths.truths[i] + lengths.tracks[j] - shared.at(i, j);
      shared.at(i, j) = whole > 0 ? shared.at(i, j) / whole : 0;
    }
  return shared;
}

void count_hota(const Clip& clip, Counts& counts) {
  const Lengths lengths(clip);
  Table alignment = global_alignment(clip, lengths);
  std::vector<Table> matches(kAlphas, Table(clip.truths, clip.tracks));
  for (const FrameIou& frame : clip.frames) {
    std::vector<double> gains;
    for (size_t i = 0; i < frame.truths.size(); ++i)
      for (size_t j = 0; j < frame.tracks.size(); ++j)
        gains.push_back(alignment.at(frame.truths[i], frame.tracks[j]) * frame.at(i, j));
    const std::vector<int> pairs = best_pairs(gains, frame.truths.size(), frame.tracks.size());
    for (size_t i = 0; i < frame.truths.size(); ++i) {
      if (pairs[i] < 0) continue;
      const size_t j = static_cast<size_t>(pairs[i]);
      // An IoU that equals a threshold reaches it, whatever its last bit.
      for (size_t a = 0; a < kAlphas && frame.at(i, j) >= alpha(a) - std::numeric_limits<double>::epsilon(); ++a)
        matches[a].at(frame.truths[i], frame.tracks[j]) += 1;
    }
  }
  for (size_t a = 0; a < kAlphas; ++a)
    for (size_t i = 0; i < clip.truths; ++i)
      for (size_t j = 0; j < clip.tracks; ++j) {
        const double true_positives = matches[a].at(i, j);
        if (true_positives == 0) continue;
        counts.true_positives[a] += true_positives;
        // Each of these true positives has the association score TPA / (TPA + FNA + FPA) of its pair.
        counts.association[a] +=
            true_positives * true_positives / (lengths.truths[i] + lengths.tracks[j] - true_positives);
      }
}

Counts count(const Clip& clip, const TrackingOptions& options) {
  Counts counts;
  for (const FrameIou& frame : clip.frames) {
    counts.truth_masks += static_cast<std::int64_t>(frame.truths.size());
    counts.predicted_masks += static_cast<std::int64_t>(frame.tracks.size());
  }
  if (clip.truths == 0 || clip.tracks == 0) return counts;
  counts.id_true_positives = count_id_true_positives(clip, options.min_iou);
  counts.id_switches = count_id_switches(clip, options.min_iou);
  count_hota(clip, counts);
  return counts;
}

IdentityMetrics ratios(const Counts& counts) {
  IdentityMetrics metrics{
      .id_switches = counts.id_switches, .truth_masks = counts.truth_masks, .predicted_masks = counts.predicted_masks};
  if (counts.truth_masks == 0) return metrics;
  const double masks = static_cast<double>(counts.truth_masks + counts.predicted_masks);
  metrics.idf1 = 2 * static_cast<double>(counts.id_true_positives) / masks;
  metrics.hota = metrics.det_a = metrics.ass_a = 0;
  for (size_t a = 0; a < kAlphas; ++a) {
    const double hits = counts.true_positives[a];
    const double det_a = hits / (masks - hits), ass_a = hits > 0 ? counts.association[a] / hits : 0;
    metrics.det_a += det_a / kAlphas;
    metrics.ass_a += ass_a / kAlphas;
    metrics.hota += std::sqrt(det_a * ass_a) / kAlphas;
  }
  return metrics;
}

IdentityMetrics measure(Videos videos, std::optional<std::int64_t> category, const TrackingOptions& options) {
  Counts counts;
  for (const EvaluatedVideo* video : videos) counts.add(count(ClipBuilder(*video, category, options).build(), options));
  return ratios(counts);
}

IdentityMetrics mean_of(const std::vector<CategoryTracking>& categories) {
  if (categories.empty()) return {};
  IdentityMetrics mean{.hota = 0, .det_a = 0, .ass_a = 0, .idf1 = 0};
  const double count = static_cast<double>(categories.size());
  for (const CategoryTracking& category : categories) {
    mean.hota += category.metrics.hota / count;
    mean.det_a += category.metrics.det_a / count;
    mean.ass_a += category.metrics.ass_a / count;
    mean.idf1 += category.metrics.idf1 / count;
    mean.id_switches += category.metrics.id_switches;
    mean.truth_masks += category.metrics.truth_masks;
    mean.predicted_masks += category.metrics.predicted_masks;
  }
  return mean;
}

}  // namespace

TrackingMetrics tracking_metrics(Videos videos, std::span<const annotation::Category> categories,
                                 const TrackingOptions& options) {
  check<UsageError>(options.min_score >= 0 && options.min_score <= 1 && options.min_iou > 0 && options.min_iou <= 1,
                    "tracking metrics: least score and IoU must lie between 0 and 1; got ", options.min_score, " and ",
                    options.min_iou);
  std::vector<CategoryTracking> all;
  for (const annotation::Category& category : categories)
    all.push_back({.id = category.id, .name = category.name, .metrics = {}});
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  TrackingMetrics result{.min_score = options.min_score, .class_agnostic = {}, .class_mean = {}, .categories = {}};
  // Index 0 is the class-agnostic measure.
  cpu::parallel_for(static_cast<std::int64_t>(all.size()) + 1, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      if (i == 0)
        result.class_agnostic = measure(videos, std::nullopt, options);
      else
        all[i - 1].metrics = measure(videos, all[i - 1].id, options);
    }
  });
  for (CategoryTracking& category : all)
    if (category.metrics.truth_masks > 0) result.categories.push_back(std::move(category));
  result.class_mean = mean_of(result.categories);
  return result;
}

}  // namespace visage::evaluation
