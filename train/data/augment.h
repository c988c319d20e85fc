#pragma once
#include "train/data/counter_random.h"
#include "train/data/dataset.h"

#include <cstdint>
#include <vector>

namespace visage::train {

/// Augmentation; the defaults are the official recipe for videos. Sides are in pixels. What is not said to differ from
/// frame to frame is drawn once a clip, so that its frames stay a video; crop window and rotation move in one direction
/// through the clip.
struct AugmentOptions {
  std::vector<int64_t> short_edges{320, 352, 384, 416, 448, 480, 512, 544, 576, 608, 640};  // one is drawn a clip
  int64_t longest_edge = 768;  // a frame is resized less where its longer side would exceed this

  double flip_probability = 0.5;  // left-right

  /// With this probability a clip is cropped: its short edge is scaled to one of `crop_short_edges`, and a window with
  /// sides drawn from [crop_least, crop_most] is taken (the whole side where it is shorter) before the resize above.
  /// From frame to frame the window moves along a line between two places, by random steps.
  double crop_probability = 0.5;
  std::vector<int64_t> crop_short_edges{400, 500, 600};
  int64_t crop_least = 384, crop_most = 600;

  /// Degrees to either side, about a point between 40 and 60 % of each side. The angles of the frames are drawn
  /// independently and put in ascending or descending order.
  double most_rotation = 0;

  /// Degrees to either side, drawn for every frame on its own: the colours of a frame are turned on the colour wheel,
  /// so that they tell objects of one frame apart, but do not say which is which in another frame.
  double most_hue = 0;
};

/// The official recipe for still images that stand in for videos.
[[nodiscard]] AugmentOptions image_augmentation();

/// Throws UsageError naming the option.
void check_options(const AugmentOptions& options);

/// Window of a frame in its own pixels.
struct Window {
  int64_t x = 0, y = 0, width = 0, height = 0;
};

/// What happens to one frame: the window is cut out, resized to `out`, mirrored if `flip`, then turned by `angle`
/// (radians, counter-clockwise) about (center_x, center_y) in pixels of `out`, and its colours by `hue` (radians) about
/// the grey axis.
struct Geometry {
  Window window;
  media::Size out;
  bool flip = false;
  double angle = 0, center_x = 0, center_y = 0;
  double hue = 0;
};

/// Draws the geometry of every frame of a clip; it depends on `key` only, not on what was drawn before.
[[nodiscard]] std::vector<Geometry> draw_geometry(const AugmentOptions& options, media::Size frame, int64_t frames,
                                                  std::initializer_list<uint64_t> key);

/// Antialiased bilinear resize and bilinear rotation; what a rotation uncovers is black.
[[nodiscard]] media::Image apply(const Geometry& geometry, const media::Image& image);

/// Where every pixel of the output comes from: index into the row-major source frame, -1 for outside. A pixel centre is
/// mapped back and takes the source pixel it falls in.
[[nodiscard]] std::vector<int32_t> source_pixels(const Geometry& geometry, media::Size frame);

/// The mask at the output size; empty when nothing of it is left.
[[nodiscard]] Mask apply(const std::vector<int32_t>& source_pixels, const Mask& mask);

}  // namespace visage::train
