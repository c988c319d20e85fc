#include "visage/pipeline/video_pipeline.h"

namespace visage::pipeline {

VideoPipeline::VideoPipeline(const Model& model, const PipelineOptions& options)
    : own_(std::make_unique<Network>(model, options)),
      assembler_(options.assembly, options.tracking),
      frames_(own_->source(assembler_.device_tracker())) {}

VideoPipeline::VideoPipeline(const Network& network, const PipelineOptions& options)
    : assembler_(options.assembly, options.tracking), frames_(network.source(assembler_.device_tracker())) {}

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
