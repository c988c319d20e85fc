#include "visage/pipeline/video_pipeline.h"

namespace visage::pipeline {

VideoPipeline::VideoPipeline(const Model& model, const PipelineOptions& options)
    : network_(model, options),
      assembler_(options.assembly, options.tracking),
      frames_(network_.source(assembler_.device_tracker())) {
  check<UsageError>(options.in_flight >= 1, "at least one window must be in flight; got ", options.in_flight);
}

void VideoPipeline::observe_queries(QueryObserver observer) {
  frames_->keep_tensors();
  observer_ = std::move(observer);
}

std::vector<TrackedFrame> VideoPipeline::feed(media::Frame frame) {
  std::vector<TrackedFrame> done;
  frames_->feed(std::move(frame), [&](media::Frame ready, const QueryFrame& queries) {
    done.push_back(track(std::move(ready), queries));
  });
  return done;
}

std::vector<TrackedFrame> VideoPipeline::flush() {
  std::vector<TrackedFrame> done;
  frames_->flush(
      [&](media::Frame ready, const QueryFrame& queries) { done.push_back(track(std::move(ready), queries)); });
  return done;
}

TrackedFrame VideoPipeline::track(media::Frame frame, const QueryFrame& queries) {
  if (observer_) observer_(queries);
  return {std::move(frame), assembler_.add(queries)};
}

}  // namespace visage::pipeline
