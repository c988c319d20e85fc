#include "train/checkpoints.h"

#include "nn/checkpoint/checkpoint.h"
#include "tensor/cpu/parallel.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

namespace visage::train {
namespace {

namespace fs = std::filesystem;

// Keys that change what a run shows and keeps, how long it is and how fast, but not the weights of a step.
bool is_free(std::string_view key) {
  constexpr std::array<std::string_view, 9> names = {
      "train.steps",      "train.decay_step",       "train.log_every",
      "train.eval_every", "train.checkpoint_every", "train.keep_checkpoints",
      "train.workers",    "train.recompute",        "class_names"};
  constexpr std::array<std::string_view, 3> sections = {"train.eval.", "tracking.", "inference."};
  return std::ranges::find(names, key) != names.end() ||
         std::ranges::any_of(sections, [&](std::string_view section) { return key.starts_with(section); });
}

void compare(const Config& before, const Config& now, const std::string& path,
             const std::function<void(const std::string&)>& warn) {
  for (const config::Difference& key : config::differences(before, now)) {
    check<UsageError>(!key.key.starts_with("model."), "", key.key, " is ", key.after, ", in ", path, " it is ",
                      key.before,
                      "; the model of a run cannot change: set it back, or start another run from these weights");
    if (!is_free(key.key))
      warn(key.key + " was " + key.before + " and is " + key.after +
           " from here on: the run will not give the weights of " + "one that never stopped");
  }
}

}  // namespace

std::vector<fs::path> Checkpoints::files() const {
  std::vector<fs::path> found;
  if (!fs::exists(folder_)) return found;
  for (const auto& entry : fs::directory_iterator(folder_))
    if (entry.path().filename().string().starts_with("step_") && entry.path().extension() == ".safetensors")
      found.push_back(entry.path());
  std::sort(found.begin(), found.end());  // the names sort by step
  return found;
}

void Checkpoints::save(const Trainer& trainer) const {
  char name[40];
  std::snprintf(name, sizeof name, "step_%09lld.safetensors", static_cast<long long>(trainer.steps_done()));
  trainer.save((folder_ / name).string());
  const auto all = files();
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep_) < all.size(); ++i) fs::remove(all[i]);
}

void Checkpoints::resume(Trainer& trainer, const Config& config,
                         const std::function<void(const std::string&)>& warn) const {
  auto candidates = files();
  check<UsageError>(!candidates.empty(), "", folder_.parent_path().string(),
                    ": holds no checkpoint to resume; start the run anew");
  for (; !candidates.empty(); candidates.pop_back()) {
    const std::string path = candidates.back().string();
    try {
      const nn::Checkpoint file = nn::read_checkpoint(path);
      const auto saved = file.metadata.find("config");
      check<CheckpointError>(saved != file.metadata.end(), "", path, ": is no training state");
      compare(config::parse_config(saved->second, path), config, path, warn);
      trainer.load(path);
      const auto threads = file.metadata.find("threads");
      if (threads != file.metadata.end() && threads->second != std::to_string(cpu::num_threads()))
        warn("the run had " + threads->second + " threads and has " + std::to_string(cpu::num_threads()) +
             " from here on: sums are rounded in another order");
      const auto processes = file.metadata.find("processes");
      const std::string now = std::to_string(trainer.processes());
      if (processes != file.metadata.end() && processes->second != now)
        warn("the run had " + processes->second + " processes and has " + now +
             " from here on: the same clips are shared otherwise, so sums are rounded in another order");
      return;
    } catch (const CheckpointError& error) {
      if (candidates.size() == 1) throw;
      warn(std::string(error.what()) + "; it is set aside and the run goes on from the one before");
      fs::rename(path, path + ".damaged");
    }
  }
}

}  // namespace visage::train
