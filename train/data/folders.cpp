#include "train/data/folders.h"

#include "tensor/error.h"
#include "visage/media/image_file.h"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace visage::train {
namespace {

annotation::IdIndex positions(const std::vector<annotation::Category>& classes) {
  annotation::IdIndex index;
  for (size_t i = 0; i < classes.size(); ++i) index.emplace(classes[i].id, i);
  return index;
}

media::Image read_frame(const std::string& root, const std::string& file, media::Size expected, const char* kind,
                        int64_t id) {
  const std::string path = (std::filesystem::path(root) / file).string();
  const auto where = [&] { return std::string(" (") + kind + " " + std::to_string(id) + ")"; };
  media::Image image;
  try {
    image = media::read_image(path);
  } catch (const InputError& error) {
    fail<InputError>("", error.what(), where());
  }
  check<InputError>(image.size() == expected, "", path, where(), ": the image is ", image.width, "x", image.height,
                    ", the annotations say ", expected.width, "x", expected.height);
  return image;
}

Mask pixels_of(const annotation::Rle& rle) {
  if (annotation::area(rle) == 0) return {};
  return annotation::decode_rows(rle);
}

void keep_visible(RawInstance instance, RawClip& clip) {
  const auto visible = [](const Mask& mask) { return !mask.empty(); };
  if (std::any_of(instance.masks.begin(), instance.masks.end(), visible)) clip.instances.push_back(std::move(instance));
}

media::Size size_of_frame(int64_t height, int64_t width) {
  return {.width = static_cast<int>(width), .height = static_cast<int>(height)};
}

}  // namespace

std::vector<annotation::Category> by_id(std::vector<annotation::Category> categories) {
  std::sort(categories.begin(), categories.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return categories;
}

YtvisFolder::YtvisFolder(annotation::VideoDataset data, std::string image_root)
    : data_(std::move(data)),
      image_root_(std::move(image_root)),
      classes_(by_id(data_.categories)),
      tracks_(data_.videos.size()),
      label_of_(positions(classes_)) {
  for (size_t i = 0; i < data_.annotations.size(); ++i)
    if (!data_.annotations[i].is_crowd) tracks_[data_.video_index.at(data_.annotations[i].video_id)].push_back(i);
}

VideoInfo YtvisFolder::info(int64_t video) const {
  const annotation::Video& v = data_.videos[video];
  return {.id = v.id,
          .name = std::filesystem::path(v.file_names[0]).parent_path().string(),
          .size = size_of_frame(v.height, v.width),
          .frames = v.length()};
}

RawClip YtvisFolder::load(int64_t video, std::span<const int64_t> frames) const {
  const annotation::Video& v = data_.videos[video];
  RawClip clip;
  for (const int64_t frame : frames)
    clip.images.push_back(
        read_frame(image_root_, v.file_names[frame], size_of_frame(v.height, v.width), "video", v.id));
  for (const size_t position : tracks_[video]) {
    const annotation::TrackAnnotation& track = data_.annotations[position];
    RawInstance instance{.label = static_cast<int64_t>(label_of_.at(track.category_id)), .masks = {}};
    for (const int64_t frame : frames) {
      const bool present = track.masks[frame] && track.boxes[frame];
      instance.masks.push_back(present ? pixels_of(*track.masks[frame]) : Mask());
    }
    keep_visible(std::move(instance), clip);
  }
  return clip;
}

CocoFolder::CocoFolder(annotation::ImageDataset data, std::string image_root)
    : data_(std::move(data)),
      image_root_(std::move(image_root)),
      classes_(by_id(data_.categories)),
      instances_(data_.images.size()),
      label_of_(positions(classes_)) {
  for (size_t i = 0; i < data_.instances.size(); ++i)
    if (!data_.instances[i].is_crowd) instances_[data_.image_index.at(data_.instances[i].image_id)].push_back(i);
}

VideoInfo CocoFolder::info(int64_t image) const {
  const annotation::CocoImage& i = data_.images[image];
  return {.id = i.id, .name = i.file_name, .size = size_of_frame(i.height, i.width), .frames = 1};
}

RawClip CocoFolder::load(int64_t image, std::span<const int64_t> frames) const {
  const annotation::CocoImage& i = data_.images[image];
  check<UsageError>(std::all_of(frames.begin(), frames.end(), [](int64_t f) { return f == 0; }), "CocoFolder: image ",
                    i.id, " has frame 0 only");
  RawClip clip;
  clip.images.assign(frames.size(),
                     read_frame(image_root_, i.file_name, size_of_frame(i.height, i.width), "image", i.id));
  for (const size_t position : instances_[image]) {
    const annotation::CocoInstance& instance = data_.instances[position];
    const Mask mask = pixels_of(annotation::mask_of(instance, i));
    keep_visible({.label = static_cast<int64_t>(label_of_.at(instance.category_id)),
                  .masks = std::vector<Mask>(frames.size(), mask)},
                 clip);
  }
  return clip;
}

}  // namespace visage::train
