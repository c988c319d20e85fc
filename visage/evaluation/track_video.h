#pragma once
#include "visage/annotation/results.h"
#include "visage/annotation/ytvis.h"
#include "visage/pipeline/video_pipeline.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace visage::evaluation {

/// Category ids by class index: the ids in ascending order, as the official loaders number them. Throws InputError
/// unless there are `classes` of them; `name` stands for the data set in the message.
[[nodiscard]] std::vector<std::int64_t> category_ids(const annotation::VideoDataset& dataset, const std::string& name,
                                                     int classes);

/// Throws InputError naming the first image of the videos that is missing, before any is tracked.
void check_images(std::span<const annotation::Video> videos, const std::string& image_root);

/// Frame `index` of a video. Throws InputError for an image that cannot be read or has another size than the data set
/// says.
[[nodiscard]] media::Frame read_frame(const annotation::Video& video, const std::string& image_root,
                                      std::int64_t index);

/// Tracks one video with each of the settings, which share one pass of the detector; the tracks of every setting, in
/// their order. `frames` serves all videos of a data set; after an exception it is of no more use. `after_frame` is
/// called with the frames read so far, after each was tracked, and ends the video early by throwing. Throws as
/// read_frame, and UsageError for impossible options.
[[nodiscard]] std::vector<pipeline::TrackAssembler> track_video(
    pipeline::QuerySource& frames, const pipeline::AssemblyOptions& options, std::span<const TrackingConfig> settings,
    const annotation::Video& video, const std::string& image_root,
    const std::function<void(std::int64_t frames)>& after_frame = {});

/// What was tracked as the rows that `visage track` writes to results.json.
[[nodiscard]] std::vector<annotation::Prediction> predictions_of(const pipeline::TrackAssembler& tracks,
                                                                 const annotation::Video& video,
                                                                 std::span<const std::int64_t> category_ids);

}  // namespace visage::evaluation
