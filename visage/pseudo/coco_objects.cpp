#include "visage/pseudo/coco_objects.h"

#include "tensor/error.h"
#include "visage/annotation/category_map.h"
#include "visage/media/image_file.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <utility>

namespace visage::pseudo {
namespace {

constexpr double kBorder = 2;           // pixels
constexpr double kLeastArea = 64 * 64;  // pixels
constexpr double kMostOfFrame = 0.6;    // of its width and height
constexpr std::string_view kTwice = "person";

annotation::Box box_of(const annotation::Polygon& ring) {
  double left = std::numeric_limits<double>::max(), top = left, right = -left, bottom = -left;
  for (size_t i = 0; i + 1 < ring.size(); i += 2) {
    left = std::min(left, ring[i]);
    right = std::max(right, ring[i]);
    top = std::min(top, ring[i + 1]);
    bottom = std::max(bottom, ring[i + 1]);
  }
  return {.x = left, .y = top, .width = right - left, .height = bottom - top};
}

double area_of(const annotation::Polygon& ring) {
  double twice = 0;
  for (size_t i = 0, n = ring.size() / 2; i < n; ++i) {
    const size_t next = (i + 1) % n;
    twice += ring[2 * i] * ring[2 * next + 1] - ring[2 * next] * ring[2 * i + 1];
  }
  return std::abs(twice) / 2;
}

bool is_usable(const annotation::CocoInstance& instance, const annotation::CocoImage& image,
               const annotation::Box& box) {
  const double area =
      instance.rle ? static_cast<double>(annotation::area(*instance.rle)) : area_of(instance.polygons[0]);
  return area >= kLeastArea && box.x >= kBorder && box.y >= kBorder &&
         box.x + box.width <= static_cast<double>(image.width) - kBorder &&
         box.y + box.height <= static_cast<double>(image.height) - kBorder;
}

bool fits(const annotation::Box& box, media::Size frame) {
  return box.width <= kMostOfFrame * frame.width && box.height <= kMostOfFrame * frame.height;
}

}  // namespace

CocoObjects::CocoObjects(annotation::ImageDataset data, std::string image_root, std::string_view classes)
    : image_root_(std::move(image_root)), images_(std::move(data.images)) {
  const bool own = classes == "coco";
  categories_ = own ? data.categories : annotation::official_categories(classes);
  const std::vector<int64_t> labels =
      annotation::label_map(own ? "name" : "coco_to_" + std::string(classes), data.categories, categories_);
  std::map<int64_t, Class> found;  // by COCO category, so that their order is that of the ids
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) continue;
    const int64_t target = categories_[labels[i]].id;
    category_of_[data.categories[i].id] = target;
    found[data.categories[i].id] = {
        .category_id = target, .weight = data.categories[i].name == kTwice ? 2 : 1, .instances = {}};
  }
  for (annotation::CocoInstance& instance : data.instances) {
    const auto of = found.find(instance.category_id);
    if (of == found.end() || instance.is_crowd || (!instance.rle && instance.polygons.size() != 1)) continue;
    const size_t image = data.image_index.at(instance.image_id);
    const annotation::Box box = instance.rle ? bounding_box(*instance.rle) : box_of(instance.polygons[0]);
    if (!is_usable(instance, images_[image], box)) continue;
    of->second.instances.push_back(instances_.size());
    by_annotation_.emplace(instance.id, instances_.size());
    instances_.push_back({.annotation = std::move(instance), .box = box, .image = image});
  }
  check<InputError>(!instances_.empty(),
                    "the COCO instances hold no object to cut out: none is whole, of one piece and large enough");
  for (auto& [id, of] : found)
    if (!of.instances.empty()) classes_.push_back(std::move(of));
}

std::vector<Sprite> CocoObjects::draw(int64_t count, media::Size frame, Random& random) const {
  Random own(random.bits(), 0);
  std::vector<std::vector<size_t>> left(classes_.size());
  for (size_t c = 0; c < classes_.size(); ++c)
    for (const size_t i : classes_[c].instances)
      if (fits(instances_[i].box, frame)) left[c].push_back(i);
  std::vector<Sprite> sprites;
  for (int64_t n = 0; n < count; ++n) {
    std::vector<size_t> lots;
    for (size_t c = 0; c < classes_.size(); ++c)
      if (!left[c].empty()) lots.insert(lots.end(), static_cast<size_t>(classes_[c].weight), c);
    check<InputError>(!lots.empty(), "the COCO instances hold only ", n, " objects that fit a frame of ", frame.width,
                      "x", frame.height, "; ", count, " are needed; make the frames larger or the objects fewer");
    std::vector<size_t>& pool = left[lots[own.integer(0, static_cast<int64_t>(lots.size()) - 1)]];
    const int64_t at = own.integer(0, static_cast<int64_t>(pool.size()) - 1);
    sprites.push_back(cut_out(instances_[pool[at]]));
    pool.erase(pool.begin() + at);
  }
  return sprites;
}

Sprite CocoObjects::cut_out(int64_t annotation_id) const {
  const auto found = by_annotation_.find(annotation_id);
  check<InputError>(found != by_annotation_.end(), "the COCO instances hold no annotation ", annotation_id,
                    ", or none that can be cut out");
  return cut_out(instances_[found->second]);
}

Sprite CocoObjects::cut_out(const Instance& instance) const {
  const annotation::CocoImage& image = images_[instance.image];
  const std::string path = (std::filesystem::path(image_root_) / image.file_name).string();
  const media::Image pixels = media::read_image(path);
  check<InputError>(pixels.width == image.width && pixels.height == image.height, "", path, " is ", pixels.width, "x",
                    pixels.height, ", the annotations say ", image.width, "x", image.height, " (image ", image.id, ")");
  const annotation::Rle mask = annotation::mask_of(instance.annotation, image);
  const annotation::Box box = bounding_box(mask);
  const std::vector<uint8_t> inside = decode_rows(mask);
  Sprite sprite{.height = std::llround(box.height),
                .width = std::llround(box.width),
                .rgba = {},
                .category_id = category_of_.at(instance.annotation.category_id),
                .identity = "annotation " + std::to_string(instance.annotation.id),
                .coco = CocoId{.image = image.id, .annotation = instance.annotation.id}};
  sprite.rgba.reserve(static_cast<size_t>(4 * sprite.width * sprite.height));
  for (int64_t y = 0; y < sprite.height; ++y) {
    for (int64_t x = 0; x < sprite.width; ++x) {
      const int64_t px = std::llround(box.x) + x, py = std::llround(box.y) + y;
      const uint8_t* color = pixels.pixel(px, py);
      const uint8_t alpha = inside[py * image.width + px] ? 255 : 0;
      sprite.rgba.insert(sprite.rgba.end(), {color[0], color[1], color[2], alpha});
    }
  }
  return sprite;
}

}  // namespace visage::pseudo
