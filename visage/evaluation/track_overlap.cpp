#include "visage/evaluation/track_overlap.h"

#include "tensor/error.h"

#include <algorithm>
#include <cmath>

namespace visage::evaluation {
namespace {

using annotation::Rle;

Runs to_runs(const Rle& mask) {
  Runs runs;
  runs.begin.reserve(mask.counts.size() / 2);
  runs.end.reserve(mask.counts.size() / 2);
  std::uint32_t position = 0;
  for (size_t i = 0; i < mask.counts.size(); ++i) {
    const std::uint32_t next = position + mask.counts[i];
    if (i % 2 == 1 && next > position) {
      runs.begin.push_back(position);
      runs.end.push_back(next);
      runs.area += next - position;
    }
    position = next;
  }
  return runs;
}

std::int64_t intersection_area(const Runs& a, const Runs& b) {
  if (a.area == 0 || b.area == 0) return 0;
  // Objects beside each other have no column in common and are done here.
  if (a.end.back() <= b.begin.front() || b.end.back() <= a.begin.front()) return 0;
  const auto first_after = [](const Runs& runs, std::uint32_t position) {
    return static_cast<size_t>(std::upper_bound(runs.end.begin(), runs.end.end(), position) - runs.end.begin());
  };
  size_t i = first_after(a, b.begin.front()), j = first_after(b, a.begin.front());
  std::int64_t sum = 0;
  while (i < a.end.size() && j < b.end.size()) {
    const std::uint32_t end_a = a.end[i], end_b = b.end[j];
    const std::uint32_t low = std::max(a.begin[i], b.begin[j]), high = std::min(end_a, end_b);
    sum += high > low ? high - low : 0;
    i += end_a <= end_b;
    j += end_b <= end_a;
  }
  return sum;
}

// The official evaluator believes the file's areas and leaves null and 0 out of the mean.
double average_of_areas(const std::vector<std::optional<double>>& areas) {
  double sum = 0;
  int count = 0;
  for (const std::optional<double>& area : areas) {
    if (!area || *area == 0) continue;
    sum += *area;
    ++count;
  }
  return count > 0 ? sum / count : 0;
}

TruthTrack to_truth(const annotation::TrackAnnotation& annotation) {
  TruthTrack track{.annotation_id = annotation.id,
                   .category_id = annotation.category_id,
                   .is_crowd = annotation.is_crowd,
                   .average_area = average_of_areas(annotation.areas),
                   .frames = {}};
  for (const std::optional<Rle>& mask : annotation.masks) {
    track.frames.push_back(mask ? to_runs(*mask) : Runs{});
    track.area += track.frames.back().area;
  }
  return track;
}

void check_fits(const TruthVideo& video, const annotation::Prediction& prediction) {
  check<InputError>(std::isfinite(prediction.score), "prediction of video ", video.id,
                    ": the score must be finite; it is ", prediction.score);
  check<InputError>(static_cast<std::int64_t>(prediction.masks.size()) == video.length, "prediction of video ",
                    video.id, " has masks for ", prediction.masks.size(), " frames, the video has ", video.length);
}

}  // namespace

std::vector<EvaluatedVideo> prepare_videos(const annotation::VideoDataset& dataset) {
  std::vector<EvaluatedVideo> videos;
  videos.reserve(dataset.videos.size());
  for (const annotation::Video& video : dataset.videos) {
    videos.push_back(
        {.truth =
             {.id = video.id, .height = video.height, .width = video.width, .length = video.length(), .tracks = {}},
         .predictions = {}});
  }
  for (const annotation::TrackAnnotation& annotation : dataset.annotations) {
    videos[dataset.video_index.at(annotation.video_id)].truth.tracks.push_back(to_truth(annotation));
  }
  std::sort(videos.begin(), videos.end(),
            [](const EvaluatedVideo& a, const EvaluatedVideo& b) { return a.truth.id < b.truth.id; });
  return videos;
}

PredictedTrack overlap_with(const TruthVideo& video, const annotation::Prediction& prediction, FrameDetail detail) {
  check_fits(video, prediction);
  PredictedTrack track{.category_id = prediction.category_id,
                       .score = prediction.score,
                       .intersection = std::vector<std::int64_t>(video.tracks.size(), 0),
                       .frames = {}};
  std::int64_t frames_with_mask = 0;
  for (size_t frame = 0; frame < prediction.masks.size(); ++frame) {
    if (!prediction.masks[frame]) continue;
    const Rle& mask = *prediction.masks[frame];
    check<InputError>(mask.height == video.height && mask.width == video.width, "prediction of video ", video.id,
                      ", frame ", frame, ": the mask is ", mask.height, " x ", mask.width, ", the video ", video.height,
                      " x ", video.width);
    const Runs runs = to_runs(mask);
    if (runs.area == 0) continue;
    ++frames_with_mask;
    track.area += runs.area;
    FrameOverlap overlap{.frame = static_cast<std::int64_t>(frame), .area = runs.area, .intersection = {}};
    for (size_t i = 0; i < video.tracks.size(); ++i) {
      const TruthTrack& truth = video.tracks[i];
      const bool same_category = truth.category_id == track.category_id;
      const bool needed = same_category || detail == FrameDetail::keep;
      const std::int64_t shared = needed ? intersection_area(runs, truth.frames[frame]) : 0;
      if (same_category) track.intersection[i] += shared;
      if (detail == FrameDetail::keep) overlap.intersection.push_back(shared);
    }
    if (detail == FrameDetail::keep) track.frames.push_back(std::move(overlap));
  }
  if (frames_with_mask > 0) {
    track.average_area = static_cast<double>(track.area) / static_cast<double>(frames_with_mask);
  }
  return track;
}

}  // namespace visage::evaluation
