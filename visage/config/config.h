#pragma once
#include "visage/config/train_config.h"
#include "visage/model/config.h"
#include "visage/pipeline/score_mode.h"
#include "visage/tracking/config.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace visage {

struct InferenceConfig {
  int shortest_edge = 480;  // pixels; frames are resized so that the shorter side has this length ...
  int longest_edge = 1333;  // ... unless the longer side would exceed this one
  int window = 1;           // frames detected together
  int in_flight = 2;        // windows on their way at once, on a GPU
  int chunk = 10;           // frames that a model of Mode::offline sees together
  int overlap = 3;          // of them, those that it saw before
  pipeline::ScoreMode scores = pipeline::ScoreMode::video;
  int top_k = 0;           // (track, class) pairs reported a video; 0 = number of classes; 10 with Mode::offline
  double min_score = 0.3;  // least score of what a frame lists and shows; the result of the video has no threshold
};

/// Everything a configuration file can say. The defaults are the official R50 model for YouTube-VIS 2019, but for the
/// choices explained in docs/fidelity.md.
struct Config {
  std::vector<std::string> class_names;  // in the order of the class indices; empty = classes are called by number
  ModelConfig model;
  TrackingConfig tracking;
  InferenceConfig inference;
  TrainConfig train;
};

}  // namespace visage

namespace visage::config {

/// Reads a TOML file over the defaults, applies the overrides in order and checks how the values fit together. An empty
/// path stands for config_in(weights), where there is one, else for the defaults; `weights` may be empty.
/// throws UsageError, one line, `file:line:column: what; what is allowed`: for a file that cannot be read, bad syntax,
/// an unknown key (with the nearest valid name), a wrong type, a value out of range or values that do not fit.
[[nodiscard]] Config load_config(const std::string& path, std::span<const std::string> overrides = {},
                                 const std::string& weights = "");

/// The configuration that weights were trained with, as the trainer writes it into safetensors; none in other files and
/// in what cannot be read. throws UsageError as load_config().
[[nodiscard]] std::optional<Config> config_in(const std::string& weights, std::span<const std::string> overrides = {});

/// load_config() for TOML in memory; `name` stands for the file in messages.
[[nodiscard]] Config parse_config(const std::string& toml, const std::string& name);

/// A key that has another value in another configuration; both as TOML.
struct Difference {
  std::string key, before, after;
};
[[nodiscard]] std::vector<Difference> differences(const Config& before, const Config& after);

/// Applies "tracking.alpha=0.5". The value is written as in TOML; the quotes of a single word may be left out. Checks
/// the key and its own range only, so that several overrides can be applied in any order; check_config() does the rest.
/// throws UsageError.
void apply_override(Config& config, std::string_view assignment);

/// throws UsageError if values do not fit together.
void check_config(const Config& config);

/// Every key with its meaning, its range and its default, as a TOML file that load_config() reads as the defaults.
[[nodiscard]] std::string describe();

/// The configuration as TOML; load_config() reads back the same values.
[[nodiscard]] std::string to_toml(const Config& config);

}  // namespace visage::config
