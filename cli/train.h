#pragma once
#include "cli/progress.h"
#include "train/run.h"

#include <iosfwd>
#include <string>
#include <vector>

namespace visage::cli {

struct TrainCommand {
  train::RunOptions run;               // without config and device, which follow from:
  std::string config;                  // file; empty: the defaults or, to resume, the one the run was started with
  std::vector<std::string> overrides;  // "section.key=value", later ones win
  std::string device = "auto";         // as in parse_device
  train::WorldOptions world;           // where no launcher says
  Verbosity verbosity = Verbosity::normal;
};

/// `visage train`: runs train::run and writes what happens to `log`: a line every train.log_every steps and for every
/// evaluation and, where it is a terminal, one line that is always up to date. Ctrl-C writes a checkpoint and ends.
/// throws as train::run, and UsageError or InputError for an impossible configuration.
void run_train(const TrainCommand& command, std::ostream& log);

}  // namespace visage::cli
