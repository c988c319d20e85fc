#pragma once
#include "cli/experiment.h"
#include "visage/experiments/paper_tables.h"

#include <iosfwd>
#include <string>
#include <vector>

namespace visage::cli {

/// `visage sweep`: the ablations of the paper on data sets with ground truth, from one pass of the detector.
struct SweepCommand {
  ExperimentCommand experiment;
  std::vector<experiments::Ablation> tables;  // empty: all
  std::string json;                           // all numbers; empty: none
  std::string markdown;                       // file with a section for the tables; empty: none
};

/// Runs the command and prints the tables to `out`. throws UsageError, InputError or CheckpointError.
void run_sweep(const SweepCommand& command, std::ostream& out);

}  // namespace visage::cli
