#pragma once
#include "visage/pipeline/chunk_detector.h"
#include "visage/pipeline/frame_detector.h"
#include "visage/pipeline/track_assembler.h"
#include "visage/tracking/config.h"

#include <memory>

namespace visage::pipeline {

struct PipelineOptions {
  Plan plan = Plan::fast;
  Precision precision = Precision::f32;
  int shortest_edge = 480;  // of the network input
  int longest_edge = 1333;
  int window = 1;  // frames detected together: more throughput on wide machines, more latency and memory
  /// Windows on their way at once; on a GPU only, and without an observer of queries (DetectionOptions::in_flight).
  int in_flight = 1;
  int chunk = 10, overlap = 3;  // of a model of Mode::offline (ChunkOptions)
  AssemblyOptions assembly;
  TrackingConfig tracking;

  DetectionOptions detection() const { return {shortest_edge, longest_edge, window, 1}; }
  ChunkOptions chunks() const { return {shortest_edge, longest_edge, window, chunk, overlap}; }
};

/// The network of a model as a plan, in the mode of the model: the same for all videos.
class Network {
 public:
  /// The model must outlive it. throws UsageError for options that do not go together or with the machine.
  Network(const Model& model, const PipelineOptions& options);

  /// Feeds it with the frames of videos. `tracker`, if there is one, outlives the source, and may be stepped with the
  /// network (FrameDetector); the network does, too.
  [[nodiscard]] std::unique_ptr<QuerySource> source(tracking::DeviceTracker* tracker = nullptr) const;

 private:
  PipelineOptions options_;
  std::unique_ptr<Detector> frames_;     // with Mode::online
  std::unique_ptr<ClipDetector> clips_;  // with Mode::offline
};

}  // namespace visage::pipeline
