#pragma once
// What commands define their options with: kinds of options that CLI11 lacks, and the options that several commands
// have. Heavy: for the files that define commands.
#include "cli/load_model.h"
#include "cli/progress.h"
#include "cli/suggest.h"
#include "tensor/error.h"
#include "tensor/files.h"
#include "visage/media/image.h"
#include "visage/pipeline/frame_detector.h"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace visage::cli {

using Strings = std::vector<std::string>;

/// A new command of `program`. What it does is its final_callback().
CLI::App& add_command(CLI::App& program, const char* name, const char* help, const char* footer);

/// "1280x720". throws UsageError.
media::Size parse_size(const std::string& text);
/// `fps` if it is a frame rate a clip can have. throws UsageError.
double checked_fps(double fps);

template <class T>
struct Named {
  std::string name;
  T value;
};

/// An option that takes one of a few words; another word is refused with the nearest one.
template <class T>
CLI::Option* add_choice(CLI::App& app, const std::string& flag, T& target, std::vector<Named<T>> choices,
                        const std::string& help) {
  Strings names;
  std::string list;
  for (const auto& [name, value] : choices) {
    names.push_back(name);
    list += (list.empty() ? "" : "|") + name;
  }
  const auto set = [=, &target](const std::string& word) {
    for (const auto& [name, value] : choices)
      if (name == word) {
        target = value;
        return;
      }
    const std::string near = nearest(word, names);
    fail<UsageError>("", flag, ": \"", word, "\" is not one of ", list, near.empty() ? "" : "; did you mean " + near);
  };
  return app.add_option_function<std::string>(flag, set, help)->type_name(list);
}

/// --size of frames; T is media::Size or an optional one.
template <class T>
CLI::Option* add_size(CLI::App& app, T& size, const std::string& help) {
  return app
      .add_option_function<std::string>(
          "--size", [&size](const std::string& text) { size = parse_size(text); }, help)
      ->type_name("WxH");
}

/// --config and --set. With `weights` the configuration is by default that of the weights (config::load_config).
enum class ConfigDefault { builtin, weights };
void add_config(CLI::App& app, std::string& file, Strings& overrides, ConfigDefault otherwise = ConfigDefault::weights);

/// An option that is short for --set KEY=value, and wins over it.
struct ConfigOption {
  const char* flag;
  const char* key;
  const char* type;
  const char* help;
};
inline constexpr ConfigOption kShortestEdge = {"--shortest-edge", "inference.shortest_edge", "PIXELS",
                                               "Resize frames so that the shorter side has this length"};
inline constexpr ConfigOption kTracker = {"--tracker", "tracking.tracker", "visage|minvis|idol|ctvis|qdtrack",
                                          "How objects are followed from frame to frame (docs/trackers.md)"};
inline constexpr ConfigOption kMode = {
    "--mode", "model.detector.mode", "online|offline",
    "What the weights are: VISAGE, which goes frame by frame, or Mask2Former-VIS, which sees chunks of the video"};
/// After add_config() with the same overrides: CLI11 fills them in the order in which options are defined.
void add_config_option(CLI::App& app, const ConfigOption& option, Strings& overrides, const char* group);

/// --weights, --test-weights, --init-missing and --device.
void add_weights(CLI::App& app, WeightChoice& weights);
/// --weights alone.
void add_weight_file(CLI::App& app, WeightChoice& weights);
void add_device(CLI::App& app, std::string& device);
void add_precision(CLI::App& app, Precision& precision);
void add_plan(CLI::App& app, pipeline::Plan& plan);
void add_threads(CLI::App& app, int& threads);
/// --overwrite.
void add_existing(CLI::App& app, files::Existing& existing);
/// --quiet: the log says errors only, and there is no progress bar.
void add_quiet(CLI::App& app, Verbosity* progress = nullptr);

}  // namespace visage::cli
