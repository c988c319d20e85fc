#include "visage/pseudo/dataset_writer.h"

#include "tensor/cpu/parallel.h"
#include "tensor/error.h"
#include "tensor/files.h"
#include "visage/media/jpeg.h"
#include "visage/media/png.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <utility>
#include <vector>

namespace visage::pseudo {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBlock = 8;  // frames in memory

std::string numbered(const char* format, int64_t number) {
  char text[48];
  std::snprintf(text, sizeof text, format, static_cast<long long>(number));
  return text;
}

void add_mask(annotation::TrackAnnotation& track, std::optional<annotation::Rle> mask) {
  track.areas.push_back(mask ? std::optional(static_cast<double>(area(*mask))) : std::nullopt);
  track.boxes.push_back(mask ? std::optional(bounding_box(*mask)) : std::nullopt);
  track.masks.push_back(std::move(mask));
}

struct DrawnFrame {
  media::Image image;
  std::vector<std::optional<annotation::Rle>> masks;  // of every object
};

DrawnFrame draw(const PseudoVideo& video, int64_t t) {
  PseudoFrame frame = video.render(t);
  DrawnFrame drawn;
  for (size_t i = 0; i < video.objects().size(); ++i) drawn.masks.push_back(video.mask(frame, static_cast<int64_t>(i)));
  drawn.image = std::move(frame.image);
  return drawn;
}

}  // namespace

std::string describe(const PseudoOptions& options, int64_t videos) {
  const std::string size = options.frame_size == FrameSize::upstream
                               ? "upstream"
                               : std::to_string(options.size.width) + "x" + std::to_string(options.size.height);
  return std::string("mode ") + name_of(options.mode) + ", swap mode " +
         (options.swap_mode == SwapMode::upstream ? "upstream" : "derangement") + ", seed " +
         std::to_string(options.seed) + ", videos " + std::to_string(videos) + ", frames " +
         std::to_string(options.frames) + ", size " + size + ", objects " + std::to_string(options.least_objects) +
         "-" + std::to_string(options.most_objects) + ", curve frames " + std::to_string(options.curve_frames);
}

DatasetWriter::DatasetWriter(std::string folder, std::string_view description,
                             std::span<const annotation::Category> categories, std::optional<double> clip_fps,
                             FrameFormat format)
    : folder_(std::move(folder)),
      annotations_((fs::path(folder_) / kAnnotationFile).string(), description, categories),
      clip_fps_(clip_fps),
      format_(format) {}

void DatasetWriter::add(const PseudoVideo& video, const std::function<void(int64_t frames)>& progress) {
  const std::string name = kVideoPrefix + numbered("%04lld", videos_++);
  const fs::path images = fs::path(folder_) / kImageFolder;
  std::error_code error;
  fs::create_directories(images / name, error);
  check<InputError>(!error, "", (images / name).string(), ": cannot be made (", error.message(), ")");
  const media::Size size = video.size();
  std::unique_ptr<media::VideoWriter> clip;
  if (clip_fps_)
    clip = media::open_video_writer((fs::path(folder_) / name).string(), {.size = size, .fps = *clip_fps_});

  annotation::Video entry{.id = videos_, .height = size.height, .width = size.width, .file_names = {}};
  for (int64_t t = 0; t < video.frames(); ++t)
    entry.file_names.push_back(name + "/" + numbered(format_ == FrameFormat::jpg ? "%05lld.jpg" : "%05lld.png", t));
  std::vector<annotation::TrackAnnotation> tracks(video.objects().size());
  for (int64_t begin = 0; begin < video.frames(); begin += kBlock) {
    const int64_t count = std::min(kBlock, video.frames() - begin);
    std::vector<DrawnFrame> block(count);
    cpu::parallel_for(count, 1, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        block[i] = draw(video, begin + i);
        files::write_file((images / entry.file_names[begin + i]).string(), format_ == FrameFormat::jpg
                                                                               ? media::encode_jpeg(block[i].image)
                                                                               : media::encode_png(block[i].image));
      }
    });
    for (DrawnFrame& frame : block) {
      if (clip) clip->add(frame.image);
      for (size_t i = 0; i < tracks.size(); ++i) add_mask(tracks[i], std::move(frame.masks[i]));
    }
    if (progress) progress(begin + count);
  }
  if (clip) clip->close();
  for (size_t i = 0; i < tracks.size(); ++i) {
    tracks[i].id = ++tracks_;
    tracks[i].video_id = entry.id;
    tracks[i].category_id = video.objects()[i].category_id;
    annotations_.add_annotation(tracks[i]);
  }
  annotations_.add_video(std::move(entry));
}

}  // namespace visage::pseudo
