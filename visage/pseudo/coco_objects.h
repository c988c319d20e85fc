#pragma once
#include "visage/annotation/coco.h"
#include "visage/pseudo/source.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace visage::pseudo {

/// Objects cut out of images with COCO instances, at their own size, as in the pseudo data set of VISAGE. Which
/// instances are used is not published; here it is those that are
///   - no crowd, and one polygon (an object that something covers is often in several) or run lengths,
///   - at least 2 pixels away from the border of their image, so that they are whole,
///   - of at least 64x64 pixels of area,
///   - and in a video, at most 0.6 times as wide and as high as its frame.
/// A class is drawn first, all with equal chance but for "person", which has twice that, as in the official generator;
/// then one of its instances, no instance twice in a video.
class CocoObjects : public ObjectSource {
 public:
  /// `classes`: "coco" for those of the file, or "ytvis_2019", "ytvis_2021", "ovis" for those of that data set, onto
  /// which COCO's are mapped by the official tables; other objects are left out.
  /// throws UsageError for other classes, InputError when the file lacks a class of the table or no instance is usable.
  CocoObjects(annotation::ImageDataset data, std::string image_root, std::string_view classes);

  [[nodiscard]] std::span<const annotation::Category> categories() const override { return categories_; }
  /// One number is drawn from `random`, and everything else follows from it. throws InputError when there are not
  /// enough instances for a frame of this size, or an image cannot be read or has another size than the file says.
  [[nodiscard]] std::vector<Sprite> draw(int64_t count, media::Size frame, Random& random) const override;

  /// A certain instance. throws InputError as draw(), and when the instance is none of those that can be drawn.
  [[nodiscard]] Sprite cut_out(int64_t annotation_id) const;
  [[nodiscard]] int64_t usable() const { return static_cast<int64_t>(instances_.size()); }

 private:
  struct Instance {
    annotation::CocoInstance annotation;
    annotation::Box box;
    size_t image = 0;  // position in images_
  };
  struct Class {
    int64_t category_id = 0;  // of categories_
    int64_t weight = 1;
    std::vector<size_t> instances;  // positions
  };
  Sprite cut_out(const Instance& instance) const;

  std::string image_root_;
  std::vector<annotation::Category> categories_;
  std::vector<annotation::CocoImage> images_;
  std::vector<Instance> instances_;
  std::vector<Class> classes_;                         // COCO's, those that have instances
  std::unordered_map<int64_t, int64_t> category_of_;   // target category by COCO category id
  std::unordered_map<int64_t, size_t> by_annotation_;  // position by annotation id
};

}  // namespace visage::pseudo
