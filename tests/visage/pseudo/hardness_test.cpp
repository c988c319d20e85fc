// What the synthetic set asks of a tracker: where an object is must not be enough to tell which one it is.
#include "ops/assign/hungarian.h"
#include "visage/pseudo/procedural.h"
#include "visage/pseudo/pseudo_video.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <vector>

namespace visage::pseudo {
namespace {

// One visible object of a frame: how the detector of a perfect network would see it, without its appearance.
struct Detection {
  int64_t object = 0;  // the truth, which the tracker does not look at
  std::vector<uint8_t> mask;
  Point centre;
};

std::vector<Detection> detect(const PseudoVideo& video, int64_t t) {
  const PseudoFrame frame = video.render(t);
  std::vector<Detection> found;
  for (size_t i = 0; i < video.objects().size(); ++i) {
    Detection detection{
        .object = static_cast<int64_t>(i), .mask = std::vector<uint8_t>(frame.labels.size()), .centre = {}};
    double area = 0;
    for (size_t p = 0; p < frame.labels.size(); ++p) {
      if (frame.labels[p] != i + 1) continue;
      detection.mask[p] = 1;
      detection.centre.x += static_cast<double>(p % frame.image.width);
      detection.centre.y += static_cast<double>(p / frame.image.width);
      ++area;
    }
    if (area == 0) continue;
    detection.centre = {.x = detection.centre.x / area, .y = detection.centre.y / area};
    found.push_back(std::move(detection));
  }
  return found;
}

double iou(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  double both = 0, either = 0;
  for (size_t p = 0; p < a.size(); ++p) {
    both += a[p] & b[p];
    either += a[p] | b[p];
  }
  return both / either;
}

// Follows objects by place alone: mask IoU, and the distance of centres where masks do not meet, with an optimal
// assignment in every frame. A track keeps its last place while nothing is assigned to it.
class LocationTracker {
 public:
  explicit LocationTracker(double diagonal) : diagonal_(diagonal) {}

  // The object that the track of each detection started with.
  std::vector<int64_t> step(const std::vector<Detection>& detections) {
    std::vector<double> cost;
    for (const Detection& detection : detections)
      for (const Detection& track : tracks_)
        cost.push_back(1 - iou(detection.mask, track.mask) +
                       std::hypot(detection.centre.x - track.centre.x, detection.centre.y - track.centre.y) /
                           diagonal_);
    std::vector<int> track_of(detections.size(), -1);
    if (!cost.empty())
      track_of = ops::assign(std::span<const double>(cost), static_cast<int64_t>(detections.size()),
                             static_cast<int64_t>(tracks_.size()))
                     .column_of_row;
    std::vector<int64_t> said;
    for (size_t i = 0; i < detections.size(); ++i) {
      if (track_of[i] < 0) {
        tracks_.push_back(detections[i]);
      } else {
        tracks_[track_of[i]].mask = detections[i].mask;
        tracks_[track_of[i]].centre = detections[i].centre;
      }
      said.push_back(track_of[i] < 0 ? detections[i].object : tracks_[track_of[i]].object);
    }
    return said;
  }

 private:
  double diagonal_;
  std::vector<Detection> tracks_;
};

// Share of the visible objects that the tracker calls by the right name, from the frame of the swap on, over videos
// that are the same in both modes but for the swap.
double accuracy(Mode mode) {
  const ProceduralObjects objects;
  const ProceduralBackgrounds backgrounds;
  PseudoOptions options{.size = {.width = 160, .height = 96}, .seed = 20, .mode = mode};
  PseudoOptions with_swap = options;
  with_swap.mode = Mode::swap;
  int64_t right = 0, all = 0;
  for (int64_t index = 0; index < 24; ++index) {
    const PseudoVideo video(options, index, objects, backgrounds);
    const int64_t cut = *PseudoVideo(with_swap, index, objects, backgrounds).swap_frame();
    LocationTracker tracker(std::hypot(160, 96));
    for (int64_t t = 0; t < video.frames(); ++t) {
      const std::vector<Detection> detections = detect(video, t);
      const std::vector<int64_t> said = tracker.step(detections);
      for (size_t i = 0; t >= cut && i < said.size(); ++i) {
        right += said[i] == detections[i].object;
        ++all;
      }
    }
  }
  return static_cast<double>(right) / static_cast<double>(all);
}

TEST(PseudoHardness, PlaceAloneFollowsObjectsUntilTheyExchangePaths) {
  const double track = accuracy(Mode::track), swap = accuracy(Mode::swap);
  RecordProperty("track", std::to_string(track));
  RecordProperty("swap", std::to_string(swap));
  EXPECT_GT(track, 0.9);
  EXPECT_LT(swap, 0.1);
}

}  // namespace
}  // namespace visage::pseudo
