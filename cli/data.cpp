#include "cli/data.h"

#include "cli/commands.h"
#include "cli/options.h"
#include "visage/config/value.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace visage::cli {
namespace {

Config config_of(const std::string& weights) {
  if (weights.empty()) return {};
  check_choice({.file = weights});
  std::optional<Config> config = config::config_in(weights);
  check<InputError>(
      config.has_value(), "", weights,
      ": carries no configuration, which only the files of visage train do; leave out --weights for a "
      "ResNet-50, or copy train.data.path, class_names and num_classes into the configuration of the weights");
  return *std::move(config);
}

// The recipe of the weights, or the official one, less what belongs to its data, its machine or a part of a training.
Config config_for(const DataCommand& command, const train::Dataset& dataset) {
  // The configuration may be used from elsewhere.
  const auto absolute = [](const std::string& path) {
    return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
  };
  Config config = config_of(command.weights);
  config.class_names.clear();
  for (const annotation::Category& category : dataset.classes()) config.class_names.push_back(category.name);
  Mask2FormerConfig& detector = config.model.detector;
  detector.num_classes = static_cast<int>(config.class_names.size());
  config.inference.top_k = std::min(config.inference.top_k, detector.num_queries * detector.num_classes);

  const TrainConfig official;
  TrainConfig& recipe = config.train;
  recipe.accumulate *= recipe.clips;
  recipe.clips = 1;
  recipe.recompute = Recompute::all;
  recipe.precision = official.precision;  // another machine may lack that of the weights
  recipe.freeze = official.freeze;        // classes that are new must be learnt
  recipe.eval_every = official.eval_every;
  recipe.eval = official.eval;

  TrainDataConfig& data = recipe.data;
  data.kind = dataset.material() == train::Material::images ? DataKind::coco : DataKind::ytvis;
  data.path = absolute(command.path);
  data.images = absolute(command.options.image_root);
  data.joint = official.data.joint;
  data.width = official.data.width;  // this and the rest: of synthetic videos
  data.height = official.data.height;
  data.videos = official.data.videos;
  data.video_frames = official.data.video_frames;
  data.least_objects = official.data.least_objects;
  data.most_objects = official.data.most_objects;
  return config;
}

std::string advice(const TrainConfig& recipe, bool official) {
  const std::string clips = std::to_string(recipe.accumulate), steps = std::to_string(recipe.steps);
  return "# A step is " + std::string(official ? "the official one" : "that of the weights") + " of " + clips +
         " clips, one at a time so that it fits into memory. Where there is more,\n"
         "# or for several processes, raise clips and lower accumulate: their product is the step.\n# The " +
         steps + " steps, with decay_step = " + std::to_string(recipe.decay_step) + ", are " +
         (official ? "for YouTube-VIS 2019" : "those of the weights") + "; choose both for your own set.\n";
}

}  // namespace

void check_data(const DataCommand& command, std::ostream& out) {
  const train::DataReport report = train::check_data(command.path, command.options);
  train::print(report, out);
  out.flush();
  (void)train::require_valid(report);
}

void print_config(const DataCommand& command, std::ostream& out) {
  const auto dataset = train::open_training_data(command.path, command.options);
  const Config config = config_for(command, *dataset);
  if (!command.weights.empty()) out << "# For visage train --init " << config::text_of(command.weights) << "\n\n";
  std::string section;
  for (const config::Difference& key : config::differences({}, config)) {
    const std::size_t dot = key.key.rfind('.');
    const std::string of = dot == std::string::npos ? "" : key.key.substr(0, dot);
    if (of != section) {
      out << "\n[" << of << "]\n";
      if (of == "train") out << advice(config.train, command.weights.empty());
      section = of;
    }
    out << key.key.substr(dot + 1) << " = " << key.after << '\n';
  }
}

void define_data(CLI::App& program) {
  const auto command = std::make_shared<DataCommand>();
  DataCommand& c = *command;
  CLI::App& app =
      add_command(program, "data", "Look at data sets: visage data check PATH, visage data config PATH", "");
  app.require_subcommand(1);
  CLI::App& check = *app.add_subcommand("check", "List what a data set holds and everything that is wrong with it");
  check.footer(
      "YouTube-VIS, OVIS and COCO instances are read; docs/data.md has the layouts. Exit code 1: there are errors.\n"
      "Examples:\n"
      "  visage data check ytvis_2021/train.json\n"
      "  visage data check my_videos --frames all");
  CLI::App& config = *app.add_subcommand("config", "Print a configuration that trains on a data set");
  config.footer(
      "What it leaves out is the official recipe for YouTube-VIS 2019: docs/configuration.md.\n"
      "Examples:\n"
      "  visage data config my_videos > my.toml\n"
      "  visage train --config my.toml --init model_final_3c8ec9.pkl --output runs/mine\n"
      "  visage data config corrected.json --weights runs/mine/model.safetensors > more.toml\n"
      "  visage train --config more.toml --init runs/mine/model.safetensors --output runs/more");
  config
      .add_option(
          "--weights", c.weights,
          "Weights to train on from, written by visage train: the model and the recipe are theirs (default: the "
          "official ones, ResNet-50)")
      ->type_name("FILE");
  for (CLI::App* const either : {&check, &config}) {
    either->add_option("PATH", c.path, "Annotation file, or a folder with one")->required();
    either->add_option("--images", c.options.image_root, "Folder that file names are relative to (default: found)")
        ->type_name("DIR");
  }
  add_choice(
      check, "--frames", c.options.frames,
      {{"none", train::FrameCheck::none}, {"sample", train::FrameCheck::sample}, {"all", train::FrameCheck::all}},
      "Image files: leave alone, see that all exist and look into some (default), or decode all");
  check.final_callback([command] { check_data(*command, std::cout); });
  config.final_callback([command] { print_config(*command, std::cout); });
}

}  // namespace visage::cli
