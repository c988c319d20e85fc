#include "visage/pipeline/network.h"

namespace visage::pipeline {

Network::Network(const Model& model, const PipelineOptions& options) : options_(options) {
  check<UsageError>(options.in_flight >= 1, "at least one window must be in flight; got ", options.in_flight);
  if (model.mode() == Mode::online) {
    frames_ = make_detector(model, options.plan, options.precision);
    return;
  }
  check_plan(options.plan, options.precision);
  clips_ =
      options.plan == Plan::fast ? make_fast_clip_detector(model, options.precision) : make_plain_clip_detector(model);
}

std::unique_ptr<QuerySource> Network::source(tracking::DeviceTracker* tracker) const {
  if (clips_) return std::make_unique<ChunkDetector>(*clips_, options_.chunks());
  DetectionOptions detection = options_.detection();
  // What a tracker on the host looks at must still be that of its frame.
  if (frames_->device().type == DeviceType::cuda && tracker) detection.in_flight = options_.in_flight;
  return std::make_unique<FrameDetector>(*frames_, detection, tracker);
}

}  // namespace visage::pipeline
