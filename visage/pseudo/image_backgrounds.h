#pragma once
#include "visage/pseudo/source.h"

#include <string>
#include <vector>

namespace visage::pseudo {

/// Backgrounds from a folder of images (BG-20k in the paper): one is drawn and resized to the frame, whatever its
/// shape, as in the official generator.
class ImageBackgrounds : public BackgroundSource {
 public:
  /// The images in the folder and below it. throws InputError when there is none.
  explicit ImageBackgrounds(std::string folder);

  /// One number is drawn from `random`. The background is called by its path in the folder. throws InputError when the
  /// image cannot be read.
  [[nodiscard]] Background draw(media::Size frame, Random& random) const override;

  /// A certain image. throws InputError when there is none of that name or it cannot be read.
  [[nodiscard]] Background load(const std::string& name, media::Size frame) const;
  [[nodiscard]] int64_t size() const { return static_cast<int64_t>(names_.size()); }

 private:
  std::string folder_;
  std::vector<std::string> names_;  // sorted: the order in which a folder is listed is no one's promise
};

}  // namespace visage::pseudo
