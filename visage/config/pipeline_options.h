#pragma once
#include "visage/config/config.h"
#include "visage/pipeline/video_pipeline.h"

#include <algorithm>

namespace visage::config {

/// What the pipeline reads of a configuration, with the choices that are options of a command only.
inline pipeline::PipelineOptions pipeline_options(const Config& config, pipeline::Plan plan, Precision precision) {
  const InferenceConfig& inference = config.inference;
  return {.plan = plan,
          .precision = precision,
          .shortest_edge = inference.shortest_edge,
          .longest_edge = inference.longest_edge,
          .window = inference.window,
          .in_flight = inference.in_flight,
          .chunk = inference.chunk,
          .overlap = std::min(inference.overlap, inference.chunk / 2),
          .assembly = {.scores = inference.scores, .top_k = inference.top_k, .min_score = inference.min_score},
          .tracking = config.tracking};
}

}  // namespace visage::config
