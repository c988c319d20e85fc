#pragma once
#include "visage/annotation/ytvis.h"
#include "visage/media/image.h"
#include "visage/pseudo/source.h"
#include "visage/pseudo/trajectory.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace visage::pseudo {

enum class Mode {
  track,  // every object keeps its own path
  swap,   // at one frame the objects exchange their paths; appearance, class and id stay with the object
};

/// "track" or "swap".
[[nodiscard]] const char* name_of(Mode mode);

/// How paths are handed out at the swap.
enum class SwapMode {
  derangement,  // no object keeps its path; the swap comes in the middle third of the video
  upstream,     // as the official generator: a random permutation, which may be the identity, at any inner frame
};

/// The size of the frames of a video.
enum class FrameSize {
  fixed,     // PseudoOptions::size
  upstream,  // as the official generator: each side one of 600, 700, 800 and 900, drawn for every video
};

struct PseudoOptions {
  media::Size size{.width = 640, .height = 360};
  FrameSize frame_size = FrameSize::fixed;
  int64_t frames = 36;
  uint64_t seed = 1;
  Mode mode = Mode::swap;
  SwapMode swap_mode = SwapMode::derangement;
  int64_t least_objects = 2, most_objects = 5;
  int64_t curve_frames = 36;  // frames of one Bezier curve; fewer are faster
};

/// Throws UsageError, naming the option, for values no video can have.
void check_options(const PseudoOptions& options);

/// One frame with its ground truth.
struct PseudoFrame {
  media::Image image;
  std::vector<uint8_t> labels;  // row-major [height, width]; 0 = background, i + 1 = object i
};

/// Synthetic clip after the pseudo data set of VISAGE: cut-out objects move over a still background along Bezier
/// curves, the first object in front. Nothing but the sprites is kept, so a frame costs the same memory in a clip of
/// any length.
class PseudoVideo {
 public:
  /// Video number `index` of the set `options.seed`; it does not depend on the other videos.
  PseudoVideo(const PseudoOptions& options, int64_t index, const ObjectSource& objects,
              const BackgroundSource& backgrounds);

  [[nodiscard]] int64_t frames() const { return options_.frames; }
  [[nodiscard]] media::Size size() const { return options_.size; }
  [[nodiscard]] const std::string& background_name() const { return background_.name; }
  [[nodiscard]] const std::vector<Sprite>& objects() const { return sprites_; }
  /// First frame after the exchange; none in track mode.
  [[nodiscard]] std::optional<int64_t> swap_frame() const { return swap_frame_; }
  /// Which object's path object i follows from swap_frame() on.
  [[nodiscard]] const std::vector<int64_t>& permutation() const { return permutation_; }
  [[nodiscard]] const Trajectory& trajectory(int64_t object) const { return trajectories_[object]; }
  /// Centre of an object in pixels, swap included.
  [[nodiscard]] Point centre(int64_t object, int64_t frame) const;

  /// Draws frame t. A pixel belongs to the first object that covers at least half of it.
  [[nodiscard]] PseudoFrame render(int64_t frame) const;
  /// Visible part of an object, or nothing when none of it is visible.
  [[nodiscard]] std::optional<annotation::Rle> mask(const PseudoFrame& frame, int64_t object) const;

 private:
  void place(Random& random);
  void draw_swap(Random& random);

  PseudoOptions options_;
  Background background_;
  std::vector<Sprite> sprites_;
  std::vector<Trajectory> trajectories_;
  std::optional<int64_t> swap_frame_;
  std::vector<int64_t> permutation_;
};

}  // namespace visage::pseudo
