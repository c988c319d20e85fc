#include "visage/pipeline/frame_detector.h"

#include "tensor/stage_timer.h"
#include "visage/media/resize.h"

namespace visage::pipeline {

std::unique_ptr<Detector> make_detector(const Model& model, Plan plan, Precision precision) {
  if (plan == Plan::fast) {
    std::unique_ptr<Detector> detector = make_fast_detector(model, precision);
    return model.device().type == DeviceType::cuda ? replayed(std::move(detector)) : std::move(detector);
  }
  check<UsageError>(precision == Precision::f32, "the plain plan runs in f32 only; use the fast plan for ",
                    name_of(precision));
  return make_plain_detector(model);
}

FrameDetector::FrameDetector(Detector& detector, const DetectionOptions& options)
    : detector_(detector), options_(options) {
  check<UsageError>(options.window >= 1, "the window must hold at least one frame; got ", options.window);
  check<UsageError>(options.shortest_edge >= 1 && options.longest_edge >= options.shortest_edge,
                    "the shortest edge must be at least 1 and at most the longest; got ", options.shortest_edge,
                    " and ", options.longest_edge);
}

ops::MaskSizes FrameDetector::mask_sizes() const {
  if (size_ == media::Size{}) return {};
  const media::Size resized = media::resized_size(size_, options_.shortest_edge, options_.longest_edge);
  return {.padded = {padded_side(resized.height), padded_side(resized.width)},
          .image = {resized.height, resized.width},
          .output = {size_.height, size_.width}};
}

void FrameDetector::feed(media::Frame frame, const FrameVisitor& visit) {
  const media::Size size = frame.image.size();
  if (size_ == media::Size{}) size_ = size;
  check<InputError>(size == size_, "frame ", frame.name, " is ", size.width, "x", size.height,
                    ", the frames before are ", size_.width, "x", size_.height,
                    "; all frames of a video must have one size");
  waiting_.push_back(std::move(frame));
  if (static_cast<int>(waiting_.size()) == options_.window) flush(visit);
}

void FrameDetector::flush(const FrameVisitor& visit) {
  if (waiting_.empty()) return;
  const Detection detection = detector_.detect(network_input(), nullptr);
  const ops::MaskSizes sizes = mask_sizes();
  std::vector<media::Frame> done;
  done.swap(waiting_);
  for (std::size_t i = 0; i < done.size(); ++i)
    visit(std::move(done[i]), query_frame(detection, static_cast<std::int64_t>(i), sizes));
}

Tensor FrameDetector::network_input() {
  const StageTimer timer("preprocess");
  if (plan_.frame == ops::ImageSize{}) {
    const ops::MaskSizes sizes = mask_sizes();
    plan_ = ops::plan_input(sizes.output, sizes.image, sizes.padded, detector_.device());
  }
  const auto frames = static_cast<std::int64_t>(waiting_.size());
  const Tensor input =
      Tensor::empty({frames, plan_.padded.height, plan_.padded.width, 3}, DType::f32, detector_.device());
  for (std::int64_t i = 0; i < frames; ++i) write_network_input(waiting_[i].image, plan_, input, i);
  return input;
}

}  // namespace visage::pipeline
