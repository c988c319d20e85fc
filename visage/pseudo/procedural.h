#pragma once
#include "visage/pseudo/source.h"

#include <span>
#include <string_view>
#include <vector>

namespace visage::pseudo {

/// Objects that need no data set: the shape is the class (circle, square, triangle, star, ring, cross, hexagon, heart),
/// the texture (pattern and colours) is the identity, different for every object of a video. Classes repeat on purpose
/// within a video, so that class and place alone do not tell the objects apart.
class ProceduralObjects : public ObjectSource {
 public:
  struct Options {
    double repeat_class = 0.5;                           // chance that an object takes the class of an earlier one
    double least_diameter = 0.28, most_diameter = 0.46;  // of the frame's shorter side
  };
  ProceduralObjects() : ProceduralObjects(Options{}) {}
  explicit ProceduralObjects(Options options);

  [[nodiscard]] std::span<const annotation::Category> categories() const override { return categories_; }
  [[nodiscard]] std::vector<Sprite> draw(int64_t count, media::Size frame, Random& random) const override;

 private:
  Options options_;
  std::vector<annotation::Category> categories_;
};

/// Muted textures: meadow, planks, tiles, sand, evening sky.
class ProceduralBackgrounds : public BackgroundSource {
 public:
  [[nodiscard]] Background draw(media::Size frame, Random& random) const override;
};

}  // namespace visage::pseudo
