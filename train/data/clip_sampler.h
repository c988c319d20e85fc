#pragma once
#include "train/data/augment.h"
#include "train/data/copy_paste.h"
#include "train/data/dataset.h"
#include "visage/config/train_config.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace visage::train {

/// Whether the frames of a clip stand in the order of the video.
enum class FrameOrder { sorted, shuffled };
/// What to do when no object is visible in a clip.
enum class EmptyClips { redraw, keep };

/// How clips are drawn; the defaults are the official recipe for videos.
struct ClipOptions {
  int64_t frames = 4;
  int64_t range = 10;  // frames lie at most this far from a reference frame
  Replacement replacement = Replacement::with;
  FrameOrder order = FrameOrder::sorted;
  EmptyClips empty = EmptyClips::redraw;
  AugmentOptions augment;
  std::optional<CopyPasteOptions> copy_paste;  // for images only
  /// Label of every class of the data set among the network's classes, -1 to leave its objects out; empty: the same.
  std::vector<int64_t> label_map;
};

/// Throws UsageError naming the option.
void check_options(const ClipOptions& options);

/// One frame of a clip with its ground truth. The lists have one entry for every object of the clip.
struct FrameSample {
  int64_t number = 0;  // in the video
  media::Image image;
  std::vector<int64_t> ids;  // the object's position in the clip, or -1 where it is absent
  std::vector<Mask> masks;   // of the image's size; empty where it is absent
};

struct ClipSample {
  int64_t video_id = 0;
  std::string video;
  std::vector<int64_t> labels;  // of every object that is visible in one of the frames
  std::vector<FrameSample> frames;

  /// "video 12 (name), frames 3 7 7 9", for messages.
  [[nodiscard]] std::string description() const;
};

/// Frames of a clip from a video of `length` frames: a reference frame r drawn uniformly, the others from
/// [r - range, r + range] without r. A video of one frame is repeated; without replacement a window that is too short
/// gives all of its frames and then repeats them.
[[nodiscard]] std::vector<int64_t> draw_frames(int64_t length, const ClipOptions& options, CounterRandom& random);

/// Draws augmented training clips. sample(i) is a function of (dataset, options, seed, i) alone: it does not matter
/// which thread asks, in which order, or what was drawn before. Indices 0 .. size-1 visit every video once in shuffled
/// order, the next `size` indices in another order, and so on.
class ClipSampler {
 public:
  /// Throws UsageError for impossible options.
  ClipSampler(std::shared_ptr<const Dataset> dataset, ClipOptions options, uint64_t seed);

  /// Throws InputError naming file and video when an image cannot be read.
  [[nodiscard]] ClipSample sample(int64_t index) const;
  [[nodiscard]] const Dataset& dataset() const { return *dataset_; }

 private:
  ClipSample draw(int64_t video, int64_t index, int64_t attempt) const;

  std::shared_ptr<const Dataset> dataset_;
  ClipOptions options_;
  uint64_t seed_;
};

}  // namespace visage::train
