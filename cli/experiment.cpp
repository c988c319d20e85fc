#include "cli/experiment.h"

#include "cli/options.h"
#include "cli/run_record.h"
#include "cli/threads.h"
#include "tensor/cpu/parallel.h"
#include "tensor/log.h"
#include "visage/config/pipeline_options.h"
#include "visage/experiments/sweep.h"

#include <cstdio>
#include <ctime>

namespace visage::cli {
namespace {

Config load(const ExperimentCommand& command) {
  check_choice(command.weights);
  check_threads(command.threads);
  if (command.threads > 0) cpu::set_num_threads(command.threads);
  return config::load_config(command.config, command.overrides, command.weights.file);
}

std::unique_ptr<Model> load(const ModelConfig& config, const WeightChoice& weights) {
  std::vector<std::string> notes;
  std::unique_ptr<Model> model = load_model(config, weights, notes);
  for (const std::string& note : notes) log::info(note);
  return model;
}

}  // namespace

void add_experiment(CLI::App& app, ExperimentCommand& command) {
  SetOptions& sets = command.sets;
  app.add_option("--data", sets.data,
                 "Folder with instances.json and JPEGImages; may be repeated, folders of one name are repetitions "
                 "(default: synthetic sets are made)")
      ->type_name("DIR")
      ->expected(1)
      ->take_all()
      ->group("Input");
  const char* const made = "Sets that are made";
  app.add_option("--videos", sets.videos, "Videos of a set")->capture_default_str()->type_name("N")->group(made);
  app.add_option("--seeds", sets.seeds, "Sets of each mode")->capture_default_str()->type_name("N")->group(made);
  app.add_option("--first-seed", sets.first_seed, "Seed of the first set")
      ->capture_default_str()
      ->type_name("N")
      ->group(made);
  app.add_option("--frames", sets.pseudo.frames, "Frames a video")->capture_default_str()->type_name("N")->group(made);
  add_size(app, sets.pseudo.size, "Frame size (default 640x360)")->group(made);
  app.add_option("--keep", sets.keep, "Keep them in this folder, and use those that are there already")
      ->type_name("DIR")
      ->group(made);
  add_config(app, command.config, command.overrides);
  add_weights(app, command.weights);
  add_precision(app, command.precision);
  add_threads(app, command.threads);
  add_quiet(app, &command.verbosity);
}

Experiment::Experiment(const ExperimentCommand& command, std::span<const pseudo::Mode> modes)
    : config_(load(command)),
      weights_(command.weights.file.empty() ? "test weights " + command.weights.test_weights : command.weights.file),
      model_(load(config_.model, command.weights)),
      options_(config::pipeline_options(config_, pipeline::Plan::fast, command.precision)),
      detector_(pipeline::make_detector(*model_, options_.plan, options_.precision)),
      sets_(command.sets, modes, config_.model.detector.num_classes, command.verbosity) {}

std::string Experiment::conditions() const {
  char date[16] = "";
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
  return "Weights: " + weights_ + ". Data: " + sets_.description() + ". " + date + ", " + cpu_name() + ".";
}

std::string percent_text(double fraction) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", 100 * fraction);
  return text;
}

std::string percent_text(std::span<const double> fractions) {
  const experiments::Spread spread = experiments::spread_of(fractions);
  return percent_text(spread.mean) + (fractions.size() > 1 ? " \u00b1 " + percent_text(spread.deviation) : "");
}

}  // namespace visage::cli
