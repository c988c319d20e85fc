#pragma once
#include "visage/annotation/category.h"
#include "visage/media/image.h"
#include "visage/pseudo/random.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace visage::pseudo {

/// Ids of an object that was cut out of an image with COCO instances.
struct CocoId {
  int64_t image = 0, annotation = 0;
  bool operator==(const CocoId&) const = default;
};

/// A cut-out object: rgba is row-major, 4 bytes a pixel, colour not multiplied by alpha (255 = opaque).
struct Sprite {
  int64_t height = 0, width = 0;
  std::vector<uint8_t> rgba;
  int64_t category_id = 0;
  std::string identity;  // what tells this object from others of its class, for the log of a set
  std::optional<CocoId> coco = {};
};

/// Where the objects of pseudo-videos come from.
class ObjectSource {
 public:
  virtual ~ObjectSource() = default;
  [[nodiscard]] virtual std::span<const annotation::Category> categories() const = 0;
  /// Objects for one video of the given frame size. All randomness comes from `random`.
  [[nodiscard]] virtual std::vector<Sprite> draw(int64_t count, media::Size frame, Random& random) const = 0;
};

/// A picture that fills the frame, and what it is called.
struct Background {
  media::Image image;
  std::string name;
};

/// Where the backgrounds come from.
class BackgroundSource {
 public:
  virtual ~BackgroundSource() = default;
  /// A picture of exactly the given size.
  [[nodiscard]] virtual Background draw(media::Size frame, Random& random) const = 0;
};

}  // namespace visage::pseudo
