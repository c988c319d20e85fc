#include "visage/evaluation/vis_ap.h"

#include "tensor/cpu/parallel.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace visage::evaluation {
namespace {

using Videos = std::span<const EvaluatedVideo* const>;

// The predictions and annotated objects of one category in one video.
struct Pair {
  std::vector<const PredictedTrack*> predictions;  // best first
  std::vector<size_t> truths;                      // positions in the video's list
  std::vector<double> iou;                         // [predictions, truths]
};

std::int64_t union_area(const PredictedTrack& prediction, const TruthTrack& truth, size_t index) {
  return prediction.area + truth.area - prediction.intersection[index];
}

Pair collect(const EvaluatedVideo& video, std::int64_t category) {
  Pair pair;
  for (const PredictedTrack& prediction : video.predictions)
    if (prediction.category_id == category) pair.predictions.push_back(&prediction);
  // Stable: equal scores keep the order of the file.
  std::stable_sort(pair.predictions.begin(), pair.predictions.end(),
                   [](const PredictedTrack* a, const PredictedTrack* b) { return a->score > b->score; });
  if (pair.predictions.size() > kDetectionLimits.back()) pair.predictions.resize(kDetectionLimits.back());
  for (size_t i = 0; i < video.truth.tracks.size(); ++i)
    if (video.truth.tracks[i].category_id == category) pair.truths.push_back(i);
  for (const PredictedTrack* prediction : pair.predictions) {
    for (const size_t i : pair.truths) {
      // A crowd is no exception here: COCO's intersection over detection area is not used for videos.
      const std::int64_t whole = union_area(*prediction, video.truth.tracks[i], i);
      const double shared = static_cast<double>(prediction->intersection[i]);
      pair.iou.push_back(whole > 0 ? shared / static_cast<double>(whole) : 0);
    }
  }
  return pair;
}

bool outside(double area, const AreaRange& range) { return area < range.lowest || area > range.highest; }

// Annotated objects in the order in which they are tried.
struct Candidates {
  std::vector<size_t> column;  // of Pair::iou
  std::vector<const TruthTrack*> track;
  std::vector<bool> ignored;
};

Candidates order_candidates(const EvaluatedVideo& video, const Pair& pair, const AreaRange& range) {
  Candidates candidates;
  for (const bool ignored : {false, true}) {
    for (size_t column = 0; column < pair.truths.size(); ++column) {
      const TruthTrack& track = video.truth.tracks[pair.truths[column]];
      if ((track.is_crowd || outside(track.average_area, range)) != ignored) continue;
      candidates.column.push_back(column);
      candidates.track.push_back(&track);
      candidates.ignored.push_back(ignored);
    }
  }
  return candidates;
}

// The candidate that prediction `row` takes, or candidates.column.size().
size_t best_candidate(const Pair& pair, size_t row, const Candidates& candidates, const std::vector<bool>& taken,
                      double threshold) {
  const size_t none = candidates.column.size();
  double best = std::min(threshold, 1 - 1e-10);
  size_t chosen = none;
  for (size_t i = 0; i < none; ++i) {
    if (taken[i] && !candidates.track[i]->is_crowd) continue;
    if (chosen != none && !candidates.ignored[chosen] && candidates.ignored[i]) break;
    const double iou = pair.iou[row * pair.truths.size() + candidates.column[i]];
    if (iou < best) continue;  // so that the last of several equal ones is taken
    best = iou;
    chosen = i;
  }
  return chosen;
}

AreaMatch match(const EvaluatedVideo& video, const Pair& pair, const AreaRange& range) {
  const Candidates candidates = order_candidates(video, pair, range);
  AreaMatch result;
  for (const TruthTrack* track : candidates.track) result.truth_order.push_back(track->annotation_id);
  result.truth_ignored = candidates.ignored;
  for (size_t t = 0; t < kIouThresholds.size(); ++t) {
    std::vector<bool> taken(candidates.column.size(), false);
    for (size_t row = 0; row < pair.predictions.size(); ++row) {
      const size_t chosen = best_candidate(pair, row, candidates, taken, kIouThresholds[t]);
      std::int64_t id = 0;
      bool ignored = false;
      if (chosen < taken.size()) {
        taken[chosen] = true;
        id = candidates.track[chosen]->annotation_id;
        ignored = candidates.ignored[chosen];
      }
      // Tested by id as in the official code, where a match with id 0 uses the object up and counts as none.
      if (id == 0 && outside(pair.predictions[row]->average_area, range)) ignored = true;
      result.matched[t].push_back(id);
      result.ignored[t].push_back(ignored);
    }
  }
  return result;
}

// All videos of one category and area range.
struct CategoryMatches {
  std::vector<const Pair*> pairs;
  std::vector<AreaMatch> matches;
  std::int64_t positives = 0;
};

struct Ranked {
  double score;
  size_t video, row;
};

std::vector<Ranked> rank(const CategoryMatches& category, size_t limit) {
  std::vector<Ranked> ranked;
  for (size_t video = 0; video < category.pairs.size(); ++video) {
    const auto& predictions = category.pairs[video]->predictions;
    for (size_t row = 0; row < std::min(limit, predictions.size()); ++row) {
      ranked.push_back({predictions[row]->score, video, row});
    }
  }
  // Stable: equal scores keep ascending videos.
  std::stable_sort(ranked.begin(), ranked.end(), [](const Ranked& a, const Ranked& b) { return a.score > b.score; });
  return ranked;
}

PrecisionRecall without_truth() {
  PrecisionRecall cell;
  for (auto& row : cell.precision) row.fill(-1);
  cell.recall.fill(-1);
  return cell;
}

PrecisionRecall accumulate(const CategoryMatches& category, size_t limit) {
  if (category.positives == 0) return without_truth();
  const std::vector<Ranked> ranked = rank(category, limit);
  const double positives = static_cast<double>(category.positives);
  PrecisionRecall cell;
  std::vector<double> recall(ranked.size()), precision(ranked.size());
  for (size_t t = 0; t < kIouThresholds.size(); ++t) {
    double hits = 0, misses = 0;
    for (size_t i = 0; i < ranked.size(); ++i) {
      const AreaMatch& match = category.matches[ranked[i].video];
      const bool counts = !match.ignored[t][ranked[i].row], hit = match.matched[t][ranked[i].row] != 0;
      if (counts) (hit ? hits : misses) += 1;
      recall[i] = hits / positives;
      // The epsilon stands here as it does in the official code; it makes a perfect AP a hair less than 1.
      precision[i] = hits / (misses + hits + std::numeric_limits<double>::epsilon());
    }
    for (size_t i = precision.size(); i-- > 1;) precision[i - 1] = std::max(precision[i - 1], precision[i]);
    cell.recall[t] = recall.empty() ? 0 : recall.back();
    for (size_t r = 0; r < kRecallThresholds.size(); ++r) {
      const auto reached = std::lower_bound(recall.begin(), recall.end(), kRecallThresholds[r]);
      cell.precision[t][r] = reached == recall.end() ? 0 : precision[static_cast<size_t>(reached - recall.begin())];
    }
  }
  return cell;
}

CategoryAp evaluate_category(Videos videos, const annotation::Category& category) {
  CategoryAp result{.id = category.id, .name = category.name, .cells = {}};
  std::vector<Pair> pairs;
  for (const EvaluatedVideo* video : videos) pairs.push_back(collect(*video, category.id));
  for (size_t a = 0; a < kAreas.size(); ++a) {
    CategoryMatches matches;
    for (size_t v = 0; v < videos.size(); ++v) {
      if (pairs[v].predictions.empty() && pairs[v].truths.empty()) continue;
      matches.pairs.push_back(&pairs[v]);
      matches.matches.push_back(match(*videos[v], pairs[v], kAreas[a]));
      const std::vector<bool>& ignored = matches.matches.back().truth_ignored;
      matches.positives += std::count(ignored.begin(), ignored.end(), false);
    }
    for (size_t m = 0; m < kDetectionLimits.size(); ++m) result.cells[a][m] = accumulate(matches, kDetectionLimits[m]);
  }
  return result;
}

// Mean of what has ground truth, -1 if nothing has.
class Mean {
 public:
  void add(double value) {
    if (value < 0) return;
    sum_ += value;
    ++count_;
  }
  template <class Values>
  void add_all(const Values& values) {
    for (const double value : values) add(value);
  }
  [[nodiscard]] double value() const { return count_ > 0 ? sum_ / static_cast<double>(count_) : -1; }

 private:
  double sum_ = 0;
  std::int64_t count_ = 0;
};

double mean_precision(const std::vector<CategoryAp>& categories, size_t area) {
  Mean mean;
  for (const CategoryAp& category : categories)
    for (const auto& row : category.cells[area].back().precision) mean.add_all(row);
  return mean.value();
}

double mean_precision_at(const std::vector<CategoryAp>& categories, size_t iou_threshold) {
  Mean mean;
  for (const CategoryAp& category : categories) mean.add_all(category.cells[0].back().precision[iou_threshold]);
  return mean.value();
}

double mean_recall(const std::vector<CategoryAp>& categories, size_t area, size_t limit) {
  Mean mean;
  for (const CategoryAp& category : categories) mean.add_all(category.cells[area][limit].recall);
  return mean.value();
}

std::vector<annotation::Category> ascending(std::span<const annotation::Category> categories) {
  std::vector<annotation::Category> sorted(categories.begin(), categories.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const annotation::Category& a, const annotation::Category& b) { return a.id < b.id; });
  return sorted;
}

}  // namespace

double PrecisionRecall::average_precision(size_t iou_threshold) const {
  const auto& values = precision[iou_threshold];
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double CategoryAp::ap() const {
  Mean mean;
  for (const auto& row : cells[0].back().precision) mean.add_all(row);
  return mean.value();
}

double CategoryAp::ar(size_t limit) const {
  Mean mean;
  mean.add_all(cells[0][limit].recall);
  return mean.value();
}

VisAp vis_ap(Videos videos, std::span<const annotation::Category> categories) {
  const std::vector<annotation::Category> sorted = ascending(categories);
  VisAp result;
  result.categories.resize(sorted.size());
  cpu::parallel_for(static_cast<std::int64_t>(sorted.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) result.categories[i] = evaluate_category(videos, sorted[i]);
  });
  const auto& all = result.categories;
  result.ap = mean_precision(all, 0);
  result.ap50 = mean_precision_at(all, 0);
  result.ap75 = mean_precision_at(all, 5);
  result.ap_small = mean_precision(all, 1);
  result.ap_medium = mean_precision(all, 2);
  result.ap_large = mean_precision(all, 3);
  result.ar1 = mean_recall(all, 0, 0);
  result.ar10 = mean_recall(all, 0, 1);
  result.ar100 = mean_recall(all, 0, 2);
  result.ar_small = mean_recall(all, 1, 2);
  result.ar_medium = mean_recall(all, 2, 2);
  result.ar_large = mean_recall(all, 3, 2);
  return result;
}

std::vector<PairDetails> match_details(Videos videos, std::span<const annotation::Category> categories) {
  std::vector<PairDetails> all;
  for (const EvaluatedVideo* video : videos) {
    for (const annotation::Category& category : ascending(categories)) {
      const Pair pair = collect(*video, category.id);
      if (pair.predictions.empty() && pair.truths.empty()) continue;
      PairDetails details{.video_id = video->truth.id,
                          .category_id = category.id,
                          .prediction_ids = {},
                          .truth_ids = {},
                          .intersections = {},
                          .unions = {},
                          .matches = {}};
      for (const size_t i : pair.truths) details.truth_ids.push_back(video->truth.tracks[i].annotation_id);
      for (const PredictedTrack* prediction : pair.predictions) {
        details.prediction_ids.push_back(prediction->id);
        for (const size_t i : pair.truths) {
          details.intersections.push_back(prediction->intersection[i]);
          details.unions.push_back(union_area(*prediction, video->truth.tracks[i], i));
        }
      }
      for (size_t a = 0; a < kAreas.size(); ++a) details.matches[a] = match(*video, pair, kAreas[a]);
      all.push_back(std::move(details));
    }
  }
  return all;
}

}  // namespace visage::evaluation
