#pragma once
#include "visage/annotation/category.h"
#include "visage/annotation/polygon.h"
#include "visage/annotation/rle.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace visage::annotation {

struct CocoImage {
  int64_t id = 0;
  int64_t height = 0, width = 0;
  std::string file_name;  // relative to the image folder
};

/// One instance: run lengths, or polygons, which stay as they are so that augmentation can move their points.
struct CocoInstance {
  int64_t id = 0, image_id = 0, category_id = 0;
  bool is_crowd = false;
  std::optional<int64_t> track_id;  // of images that are frames of a video
  std::optional<double> area;       // as the file says
  std::optional<Box> box;
  std::optional<Rle> rle;
  std::vector<Polygon> polygons;
};

/// COCO instances (`instances_*.json`). Ids are unique and every reference resolves.
struct ImageDataset {
  std::vector<CocoImage> images;
  std::vector<Category> categories;
  std::vector<CocoInstance> instances;
  GroundTruth ground_truth = GroundTruth::missing;
  std::vector<std::string> warnings;  // what was tolerated, with file and id
  IdIndex image_index, category_index;
};

/// Reads a data set. "iscrowd", "area" and "bbox" may be missing. An instance without a usable mask is dropped with a
/// warning, as the official training loaders do. Throws InputError naming file, record and id as read_ytvis does.
[[nodiscard]] ImageDataset read_coco(const std::string& path);
/// The same from memory; `name` stands for the file in messages.
[[nodiscard]] ImageDataset parse_coco(std::string_view json, const std::string& name);

/// Reads what can be read, as inspect_ytvis does.
[[nodiscard]] ImageDataset inspect_coco(std::string_view json, const std::string& name,
                                        std::vector<std::string>& problems);

/// Mask of an instance of `image`.
[[nodiscard]] Rle mask_of(const CocoInstance& instance, const CocoImage& image);

}  // namespace visage::annotation
