#pragma once
#include "cli/progress.h"
#include "train/run.h"

#include <iosfwd>

namespace visage::cli {

struct TrainCommand {
  train::RunOptions run;
  std::string device = "auto";  // as in parse_device; decides run.device
  Verbosity verbosity = Verbosity::normal;
};

/// `visage train`: runs train::run and writes what happens to `log`: a line every train.log_every steps and for every
/// evaluation and, where it is a terminal, one line that is always up to date. Ctrl-C writes a checkpoint and ends.
/// throws as train::run.
void train(const TrainCommand& command, std::ostream& log);

}  // namespace visage::cli
