#pragma once
#include "cli/load_model.h"
#include "visage/media/image.h"
#include "visage/pipeline/frame_detector.h"

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace visage::cli {

/// `visage profile track` and `visage profile train`.
struct ProfileCommand {
  std::string config;  // file; empty: the defaults
  std::vector<std::string> overrides;
  WeightChoice weights;             // of track, without one: test weights; the device of both
  std::optional<media::Size> size;  // of the procedural frames
  int warmup = 3, repeats = 20;     // frames or steps
  pipeline::Plan plan = pipeline::Plan::fast;
  Precision precision = Precision::f32;
  int threads = 0;          // 0: all cores
  int rows = 25;            // of ops in the table
  std::string json, trace;  // files; empty: none
};

/// Profiles tracking of a procedural clip, a frame at a time, and prints latencies, ceilings and a row for every stage
/// and op. throws UsageError, InputError or CheckpointError.
void profile_track(const ProfileCommand& command, std::ostream& out);

/// The same for steps of training: the data of the configuration or, without one, procedural clips.
void profile_train(const ProfileCommand& command, std::ostream& out);

}  // namespace visage::cli
