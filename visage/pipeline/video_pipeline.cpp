#include "visage/pipeline/video_pipeline.h"

#include "tensor/stage_timer.h"
#include "visage/media/resize.h"
#include "visage/pipeline/preprocess.h"
#include "visage/tracking/visage_tracker.h"

namespace visage::pipeline {
namespace {

std::unique_ptr<Detector> make_detector(const Model& model, const PipelineOptions& options) {
  if (options.plan == Plan::fast) return make_fast_detector(model, options.precision);
  check<UsageError>(options.precision == Precision::f32, "the plain plan runs in f32 only; use the fast plan for bf16");
  return make_plain_detector(model);
}

}  // namespace

VideoPipeline::VideoPipeline(const Model& model, const PipelineOptions& options)
    : options_(options),
      detector_(make_detector(model, options)),
      assembler_(options.assembly, std::make_unique<tracking::VisageTracker>(options.tracking)) {
  check<UsageError>(options.window >= 1, "the window must hold at least one frame; got ", options.window);
  check<UsageError>(options.shortest_edge >= 1 && options.longest_edge >= options.shortest_edge,
                    "the shortest edge must be at least 1 and at most the longest; got ", options.shortest_edge,
                    " and ", options.longest_edge);
}

ops::MaskSizes VideoPipeline::mask_sizes() const {
  if (size_ == media::Size{}) return {};
  const media::Size resized = media::resized_size(size_, options_.shortest_edge, options_.longest_edge);
  return {.padded = {padded_side(resized.height), padded_side(resized.width)},
          .image = {resized.height, resized.width},
          .output = {size_.height, size_.width}};
}

std::vector<TrackedFrame> VideoPipeline::feed(media::Frame frame) {
  const media::Size size = frame.image.size();
  if (size_ == media::Size{}) size_ = size;
  check<InputError>(size == size_, "frame ", frame.name, " is ", size.width, "x", size.height,
                    ", the frames before are ", size_.width, "x", size_.height,
                    "; all frames of a video must have one size");
  waiting_.push_back(std::move(frame));
  if (static_cast<int>(waiting_.size()) < options_.window) return {};
  return flush();
}

std::vector<TrackedFrame> VideoPipeline::flush() {
  std::vector<TrackedFrame> done;
  if (waiting_.empty()) return done;
  const ops::MaskSizes sizes = mask_sizes();
  const media::Size resized{static_cast<int>(sizes.image.width), static_cast<int>(sizes.image.height)};
  Tensor input;
  {
    const StageTimer timer("preprocess");
    std::vector<media::Image> images;
    for (const media::Frame& frame : waiting_)
      images.push_back(resized == size_ ? frame.image : media::resize(frame.image, resized));
    input = network_input(images);
  }
  const Detection detection = detector_->detect(input, nullptr);
  for (std::size_t i = 0; i < waiting_.size(); ++i) {
    const auto item = static_cast<std::int64_t>(i);
    if (observer_) observer_(detection, item);
    done.push_back({std::move(waiting_[i]), assembler_.add(detection, item, sizes)});
  }
  waiting_.clear();
  return done;
}

}  // namespace visage::pipeline
