#pragma once
#include "cli/load_model.h"
#include "cli/progress.h"
#include "visage/evaluation/evaluator.h"
#include "visage/pipeline/video_pipeline.h"

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace visage::cli {

/// `visage eval`: scores a results file against annotations, or tracks the videos of a data set and scores that.
struct EvalCommand {
  std::string results;      // results.json of any system; empty: run the model
  std::string annotations;  // ground truth; with a data set folder it may be left out
  std::string data;         // folder with instances.json and JPEGImages
  std::string images;       // folder of the images; empty: JPEGImages in the data set folder
  std::string config;       // file; empty: the defaults
  std::vector<std::string> overrides;
  WeightChoice weights;
  pipeline::Plan plan = pipeline::Plan::fast;
  Precision precision = Precision::f32;
  int threads = 0;                       // 0: all cores
  std::vector<std::int64_t> video_ids;   // empty: all videos
  evaluation::TrackingOptions tracking;  // which tracks HOTA, IDF1 and ID switches look at
  std::string json;                      // report; empty: none
  std::string output;                    // results.json of the model; empty: none
  Verbosity verbosity = Verbosity::normal;
};

/// Runs the command and prints the tables of print_evaluation to `out`. throws UsageError, InputError naming file and
/// record, or CheckpointError.
void run_eval(const EvalCommand& command, std::ostream& out);

}  // namespace visage::cli
