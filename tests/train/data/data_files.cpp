#include "tests/train/data/data_files.h"

#include "visage/annotation/ytvis_writer.h"
#include "visage/media/png.h"

#include <nlohmann/json.hpp>

#include <filesystem>

namespace visage::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

Mask box_mask(media::Size size, int64_t x0, int64_t y0, int64_t x1, int64_t y1) {
  Mask mask(static_cast<size_t>(size.width) * size.height);
  for (int64_t y = y0; y < y1; ++y)
    for (int64_t x = x0; x < x1; ++x) mask[y * size.width + x] = 1;
  return mask;
}

json counts(const Mask& mask, media::Size size) {
  const annotation::Rle rle = annotation::encode_rows(mask.data(), size.height, size.width);
  return {{"size", {size.height, size.width}}, {"counts", rle.counts}};
}

json track(int64_t id, int64_t video, int64_t category, int crowd, const json& masks) {
  json areas = json::array(), boxes = json::array();
  for (const json& mask : masks) {
    areas.push_back(mask.is_null() ? json() : json(100.0));
    boxes.push_back(mask.is_null() ? json() : json({1, 1, 10, 10}));
  }
  return {{"id", id},         {"video_id", video},      {"category_id", category},
          {"iscrowd", crowd}, {"segmentations", masks}, {"areas", areas},
          {"bboxes", boxes}};
}

json categories(const std::vector<std::pair<int64_t, std::string>>& list) {
  json all = json::array();
  for (const auto& [id, name] : list) all.push_back({{"id", id}, {"name", name}});
  return all;
}

}  // namespace

media::Image painted(media::Size size, const std::vector<Mask>& masks) {
  media::Image image(size);
  for (size_t p = 0; p < static_cast<size_t>(size.width) * size.height; ++p) {
    bool any = false;
    for (const Mask& mask : masks) any |= !mask.empty() && mask[p];
    image.rgb[3 * p] = any ? 255 : 0;
    image.rgb[3 * p + 1] = any ? 0 : 255;
  }
  return image;
}

double agreement(const media::Image& image, const std::vector<Mask>& masks) {
  int64_t agree = 0;
  const int64_t pixels = int64_t{image.width} * image.height;
  for (int64_t p = 0; p < pixels; ++p) {
    bool any = false;
    for (const Mask& mask : masks) any |= !mask.empty() && mask[p];
    agree += any == (image.rgb[3 * p] > 127);
  }
  return static_cast<double>(agree) / static_cast<double>(pixels);
}

void write_video_set(const test::TemporaryFolder& folder) {
  const media::Size wide{96, 64}, tall{60, 80};
  json videos = json::array(), moving = json::array(), polygons = json::array(), crowd = json::array();
  json deer = {{"id", 7}, {"width", 96}, {"height", 64}, {"length", 8}, {"file_names", json::array()}};
  fs::create_directories(folder.path() / "JPEGImages" / "deer");
  for (int64_t t = 0; t < 8; ++t) {
    const bool absent = t == 2 || t == 5;
    const Mask mask = box_mask(wide, 8 + 4 * t, 10, 38 + 4 * t, 42);
    const std::string name = "deer/" + std::to_string(t) + ".png";
    media::write_png(folder / ("JPEGImages/" + name), painted(wide, {absent ? Mask() : mask}));
    deer["file_names"].push_back(name);
    moving.push_back(absent ? json() : counts(mask, wide));
    polygons.push_back(t < 4 ? json({{70, 50, 90, 50, 90, 60, 70, 60}}) : json());
    crowd.push_back(counts(box_mask(wide, 0, 0, 96, 8), wide));
  }
  json lake = {{"id", 3}, {"width", 60}, {"height", 80}, {"length", 2}, {"file_names", {"lake/a.png", "lake/b.png"}}};
  fs::create_directories(folder.path() / "JPEGImages" / "lake");
  for (const char* name : {"lake/a.png", "lake/b.png"})
    media::write_png(folder / (std::string("JPEGImages/") + name), painted(tall, {}));
  json boxless = track(24, 3, 4, 0, {nullptr, counts(box_mask(tall, 5, 5, 20, 20), tall)});
  boxless["bboxes"][1] = nullptr;
  const json all = {
      {"videos", {deer, lake}},
      {"categories", categories({{9, "zebra"}, {4, "bird"}, {30, "cat"}})},
      {"annotations", {track(21, 7, 9, 0, moving), track(22, 7, 4, 0, polygons), track(23, 7, 9, 1, crowd), boxless}}};
  test::write_text(folder / "instances.json", all.dump());
}

std::shared_ptr<const Dataset> video_set(const test::TemporaryFolder& folder) {
  write_video_set(folder);
  return std::make_shared<YtvisFolder>(annotation::read_ytvis(folder / "instances.json"), folder / "JPEGImages");
}

void write_image_set(const test::TemporaryFolder& folder) {
  fs::create_directories(folder.path() / "images");
  const auto image = [&](int64_t id, media::Size size, const std::vector<Mask>& masks) {
    const std::string name = std::to_string(id) + ".png";
    media::write_png(folder / ("images/" + name), painted(size, masks));
    return json{{"id", id}, {"file_name", name}, {"width", size.width}, {"height", size.height}};
  };
  const media::Size wide{80, 60}, tall{60, 80}, square{90, 90};
  const Mask red = box_mask(wide, 20, 15, 60, 45), corner = box_mask(square, 10, 40, 50, 80);
  json annotations = json::array();
  annotations.push_back({{"id", 1},
                         {"image_id", 11},
                         {"category_id", 2},
                         {"iscrowd", 0},
                         {"area", 1200},
                         {"bbox", {20, 15, 40, 30}},
                         {"segmentation", {{20, 15, 60, 15, 60, 45, 20, 45}}}});
  annotations.push_back({{"id", 2},
                         {"image_id", 11},
                         {"category_id", 2},
                         {"iscrowd", 1},
                         {"area", 640},
                         {"bbox", {0, 0, 80, 8}},
                         {"segmentation", counts(box_mask(wide, 0, 0, 80, 8), wide)}});
  annotations.push_back({{"id", 3},
                         {"image_id", 5},
                         {"category_id", 7},
                         {"iscrowd", 0},
                         {"area", 1600},
                         {"bbox", {10, 40, 40, 40}},
                         {"segmentation", {{10, 40, 50, 40, 50, 80, 10, 80}}}});
  const json all = {{"images", {image(11, wide, {red}), image(12, tall, {}), image(5, square, {corner})}},
                    {"categories", categories({{7, "dog"}, {2, "bicycle"}})},
                    {"annotations", annotations}};
  test::write_text(folder / "coco.json", all.dump());
}

std::shared_ptr<const Dataset> image_set(const test::TemporaryFolder& folder) {
  write_image_set(folder);
  return std::make_shared<CocoFolder>(annotation::read_coco(folder / "coco.json"), folder / "images");
}

}  // namespace visage::train
