#pragma once
#include "cli/evaluation_sets.h"
#include "cli/load_model.h"
#include "visage/experiments/paper_tables.h"
#include "visage/pipeline/video_pipeline.h"

#include <iosfwd>
#include <string>
#include <vector>

namespace visage::cli {

/// `visage sweep`: the ablations of the paper on data sets with ground truth, from one pass of the detector.
struct SweepCommand {
  SetOptions sets;
  std::vector<experiments::Ablation> tables;  // empty: all
  std::string config;                         // file; empty: the defaults
  std::vector<std::string> overrides;
  WeightChoice weights;
  Precision precision = Precision::f32;
  int threads = 0;       // 0: all cores
  std::string json;      // all numbers; empty: none
  std::string markdown;  // file with a section for the tables; empty: none
  Verbosity verbosity = Verbosity::normal;
};

/// Runs the command and prints the tables to `out`. throws UsageError, InputError or CheckpointError.
void run_sweep(const SweepCommand& command, std::ostream& out);

}  // namespace visage::cli
