#include "visage/evaluation/track_video.h"

#include "tensor/error.h"
#include "visage/media/image_file.h"

#include <algorithm>
#include <filesystem>

namespace visage::evaluation {
namespace {

std::string path_of(const std::string& image_root, const std::string& file_name) {
  return (std::filesystem::path(image_root) / file_name).string();
}

}  // namespace

std::vector<std::int64_t> category_ids(const annotation::VideoDataset& dataset, const std::string& name, int classes) {
  check<InputError>(std::ssize(dataset.categories) == classes, "", name, ": has ", dataset.categories.size(),
                    " categories, the model ", classes,
                    " classes; use the configuration the weights were trained with");
  std::vector<std::int64_t> ids;
  for (const annotation::Category& category : dataset.categories) ids.push_back(category.id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

void check_images(std::span<const annotation::Video> videos, const std::string& image_root) {
  for (const annotation::Video& video : videos) {
    for (const std::string& name : video.file_names) {
      std::error_code ignored;
      const std::string path = path_of(image_root, name);
      check<InputError>(std::filesystem::is_regular_file(path, ignored), "", path, ": no such image (frame of video ",
                        video.id, "); check the image folder");
    }
  }
}

media::Frame read_frame(const annotation::Video& video, const std::string& image_root, std::int64_t index) {
  const std::string path = path_of(image_root, video.file_names[static_cast<size_t>(index)]);
  media::Frame frame{.image = media::read_image(path), .name = path, .index = index};
  const media::Size size = frame.image.size();
  check<InputError>(size.height == video.height && size.width == video.width, "", path, ": the image is ", size.width,
                    "x", size.height, ", the annotations say ", video.width, "x", video.height, " for video ",
                    video.id);
  return frame;
}

std::vector<pipeline::TrackAssembler> track_video(pipeline::QuerySource& frames,
                                                  const pipeline::AssemblyOptions& options,
                                                  std::span<const TrackingConfig> settings,
                                                  const annotation::Video& video, const std::string& image_root,
                                                  const std::function<void(std::int64_t frames)>& after_frame) {
  std::vector<pipeline::TrackAssembler> tracks;
  for (const TrackingConfig& setting : settings) tracks.emplace_back(options, setting);
  const pipeline::FrameVisitor track = [&](const media::Frame&, const pipeline::QueryFrame& queries) {
    for (pipeline::TrackAssembler& assembler : tracks) static_cast<void>(assembler.add(queries));
  };
  for (std::int64_t index = 0; index < video.length(); ++index) {
    frames.feed(read_frame(video, image_root, index), track);
    if (after_frame) after_frame(index + 1);
  }
  frames.flush(track);
  return tracks;
}

std::vector<annotation::Prediction> predictions_of(const pipeline::TrackAssembler& tracks,
                                                   const annotation::Video& video,
                                                   std::span<const std::int64_t> category_ids) {
  std::vector<annotation::Prediction> predictions;
  tracks.for_each_track([&](const pipeline::VideoTrack& track) {
    annotation::Prediction prediction{.video_id = video.id,
                                      .score = track.scored.score,
                                      .category_id = category_ids[static_cast<size_t>(track.scored.label)],
                                      .masks = {}};
    for (std::int64_t frame = 0; frame < tracks.frames(); ++frame) {
      const std::string counts = track.mask(frame);
      prediction.masks.push_back(counts.empty()
                                     ? std::nullopt
                                     : std::optional(annotation::rle_from_string(video.height, video.width, counts)));
    }
    predictions.push_back(std::move(prediction));
  });
  return predictions;
}

}  // namespace visage::evaluation
