#pragma once
#include "train/data/dataset.h"
#include "visage/annotation/coco.h"
#include "visage/annotation/ytvis.h"

#include <memory>
#include <string>
#include <vector>

namespace visage::train {

/// Videos in YouTube-VIS format (2019, 2021, 2022, OVIS): an annotation file and a folder of images. Crowd tracks are
/// left out. As in the official loader an object counts in a frame only if both its mask and its box are there.
class YtvisFolder : public Dataset {
 public:
  YtvisFolder(annotation::VideoDataset data, std::string image_root);

  [[nodiscard]] std::span<const annotation::Category> classes() const override { return classes_; }
  [[nodiscard]] int64_t size() const override { return static_cast<int64_t>(data_.videos.size()); }
  [[nodiscard]] VideoInfo info(int64_t video) const override;
  [[nodiscard]] Material material() const override { return Material::videos; }
  [[nodiscard]] RawClip load(int64_t video, std::span<const int64_t> frames) const override;

 private:
  annotation::VideoDataset data_;
  std::string image_root_;
  std::vector<annotation::Category> classes_;
  std::vector<std::vector<size_t>> tracks_;  // of every video, positions in data_.annotations
  annotation::IdIndex label_of_;
};

/// Images with COCO instances. Crowd regions are left out; images without objects stay.
class CocoFolder : public Dataset {
 public:
  CocoFolder(annotation::ImageDataset data, std::string image_root);

  [[nodiscard]] std::span<const annotation::Category> classes() const override { return classes_; }
  [[nodiscard]] int64_t size() const override { return static_cast<int64_t>(data_.images.size()); }
  [[nodiscard]] VideoInfo info(int64_t image) const override;
  [[nodiscard]] Material material() const override { return Material::images; }
  /// `frames` may name frame 0 only.
  [[nodiscard]] RawClip load(int64_t image, std::span<const int64_t> frames) const override;

 private:
  annotation::ImageDataset data_;
  std::string image_root_;
  std::vector<annotation::Category> classes_;
  std::vector<std::vector<size_t>> instances_;  // of every image, positions in data_.instances
  annotation::IdIndex label_of_;
};

/// Categories in ascending order of id, the order of the network's classes.
[[nodiscard]] std::vector<annotation::Category> by_id(std::vector<annotation::Category> categories);

}  // namespace visage::train
