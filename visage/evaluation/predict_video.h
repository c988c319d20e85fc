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

/// Tracks the annotated frames of one video and returns the rows that `visage track` writes to results.json.
/// `after_frame` is called with the frames read so far and ends the video early by throwing. Throws InputError for an
/// image that cannot be read or has another size than the data set says, UsageError for impossible options.
[[nodiscard]] std::vector<annotation::Prediction> predict_video(
    const Model& model, const pipeline::PipelineOptions& options, const annotation::Video& video,
    const std::string& image_root, std::span<const std::int64_t> category_ids,
    const std::function<void(std::int64_t frames)>& after_frame = {});

}  // namespace visage::evaluation
