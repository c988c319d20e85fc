#pragma once
#include "cli/load_model.h"
#include "cli/progress.h"
#include "tensor/error.h"
#include "visage/media/frame_source.h"
#include "visage/pipeline/outputs.h"

#include <optional>
#include <string>
#include <vector>

namespace visage::cli {

/// `visage track`.
struct TrackCommand {
  media::SourceOptions source;
  std::string config;                  // file; empty: the defaults
  std::vector<std::string> overrides;  // "section.key=value", later ones win
  WeightChoice weights;
  std::string output;
  files::Existing existing = files::Existing::refuse;
  pipeline::Plan plan = pipeline::Plan::fast;
  Precision precision = Precision::f32;
  int threads = 0;  // 0: all cores
  std::optional<media::VideoFormat> overlay = media::VideoFormat::automatic;
  std::string classes;  // names or ids, separated by commas; empty: all
  pipeline::IdMaps id_maps = pipeline::IdMaps::none;
  pipeline::Embeddings embeddings = pipeline::Embeddings::discard;
  std::int64_t video_id = 1;
  Verbosity verbosity = Verbosity::normal;
  std::vector<std::string> arguments;  // as typed, for run.json
};

/// What happened.
struct TrackSummary {
  std::int64_t frames = 0, rows = 0;
  double seconds = 0;
  bool interrupted = false;
  bool complete = false;          // all frames, all files
  std::vector<double> latencies;  // seconds from a frame's arrival to its result, one a frame
  std::vector<std::string> files;
};

/// Tracks one clip into the output folder (visage/pipeline/outputs.h lists its files; run.json joins them). Ctrl-C ends
/// it with the frames that are done. throws UsageError, InputError or CheckpointError.
TrackSummary track(const TrackCommand& command);

/// A run that Ctrl-C ended early, its results in place.
struct Interrupted : Error {
  using Error::Error;
};

/// The same, then one line that says what was written. throws Interrupted after an interrupted run, too.
void run_track(const TrackCommand& command);

}  // namespace visage::cli
