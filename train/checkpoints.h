#pragma once
#include "train/trainer.h"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace visage::train {

/// The folder of a run with its newest training states, step_000000500.safetensors and so on.
class Checkpoints {
 public:
  /// `keep`: how many stay.
  Checkpoints(std::filesystem::path folder, int keep) : folder_(std::move(folder)), keep_(keep) {}

  /// Oldest first.
  [[nodiscard]] std::vector<std::filesystem::path> files() const;
  /// Writes the state of the trainer and removes what is too old. throws InputError.
  void save(const Trainer& trainer) const;
  /// Loads the newest state that can be read into the trainer. A damaged one, from a power failure for example, is set
  /// aside under the name *.damaged, which `warn` is told. `config` is that of the run now: what differs from the
  /// state's is refused where the model depends on it, told to `warn` where only the weights to come do, and otherwise
  /// taken. throws UsageError or CheckpointError.
  void resume(Trainer& trainer, const Config& config, const std::function<void(const std::string&)>& warn) const;

 private:
  std::filesystem::path folder_;
  int keep_;
};

}  // namespace visage::train
