#pragma once
#include "visage/config/config.h"

#include <iosfwd>
#include <string>

namespace visage::cli {

struct TrainCommand {
  Config config;
  std::string output;        // folder: metrics.jsonl, checkpoints/, config.toml, model.safetensors
  std::string init_weights;  // checkpoint to start from; empty: random weights from train.seed
  enum class Start { fresh, resume } start = Start::fresh;
};

/// Trains a model. A fresh run refuses a folder that holds one already; a resumed run continues from its newest
/// checkpoint and gives the bits of a run that never stopped. Ctrl-C writes a checkpoint and ends.
/// throws UsageError, InputError, CheckpointError, or Error when a loss is not finite (after saving what is good).
void train(const TrainCommand& command, std::ostream& log);

}  // namespace visage::cli
