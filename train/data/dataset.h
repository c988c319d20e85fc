#pragma once
#include "visage/annotation/category.h"
#include "visage/media/image.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace visage::train {

/// A video, or an image, which counts as a video of one frame.
struct VideoInfo {
  int64_t id = 0;
  std::string name;
  media::Size size;
  int64_t frames = 0;
};

/// One byte a pixel, row-major, 0 or 1; empty where the object is absent.
using Mask = std::vector<uint8_t>;

/// One object through the loaded frames.
struct RawInstance {
  int64_t label = 0;        // index in Dataset::classes()
  std::vector<Mask> masks;  // one a frame, each of the video's size or empty
};

/// Frames as they stand in the data set, before any augmentation.
struct RawClip {
  std::vector<media::Image> images;
  std::vector<RawInstance> instances;  // those that are visible in one of the frames; no crowd regions
};

enum class Material { videos, images };

/// Annotated videos to draw training clips from. Const functions may be called from several threads at once.
class Dataset {
 public:
  virtual ~Dataset() = default;
  /// In ascending order of id; an object's label is the position here.
  [[nodiscard]] virtual std::span<const annotation::Category> classes() const = 0;
  [[nodiscard]] virtual int64_t size() const = 0;
  [[nodiscard]] virtual VideoInfo info(int64_t video) const = 0;
  [[nodiscard]] virtual Material material() const = 0;
  /// Loads the given frames of one video. Throws InputError naming file and video when an image cannot be read or has
  /// another size than the annotations say.
  [[nodiscard]] virtual RawClip load(int64_t video, std::span<const int64_t> frames) const = 0;
};

}  // namespace visage::train
