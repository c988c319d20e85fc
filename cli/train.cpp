#include "cli/train.h"

#include "cli/interrupt.h"
#include "nn/checkpoint/checkpoint.h"
#include "nn/checkpoint/load.h"
#include "nn/init/init.h"
#include "train/trainer.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <vector>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string checkpoint_name(std::int64_t step) {
  char name[40];
  std::snprintf(name, sizeof name, "step_%09lld.safetensors", static_cast<long long>(step));
  return name;
}

// Oldest first: the names sort by step.
std::vector<fs::path> checkpoints_in(const fs::path& folder) {
  std::vector<fs::path> found;
  if (!fs::exists(folder)) return found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().filename().string().starts_with("step_") && entry.path().extension() == ".safetensors")
      found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

json record_of(const train::StepReport& report) {
  json line{{"step", report.step + 1},
            {"loss", report.total},
            {"learning_rate", report.learning_rate},
            {"gradient_norm", report.gradient_norm},
            {"seconds", report.seconds},
            {"data_seconds", report.data_seconds},
            {"images", report.images}};
  for (const auto& [name, value] : report.terms) line[name] = value;
  return line;
}

// Lines of steps that the resumed run will do again are dropped.
void keep_metrics_until(const fs::path& path, std::int64_t step) {
  std::ifstream in(path);
  std::vector<std::string> kept;
  for (std::string line; std::getline(in, line);) {
    const json record = json::parse(line, nullptr, false);
    if (!record.is_discarded() && record.value("step", std::int64_t{0}) <= step) kept.push_back(line);
  }
  in.close();
  std::ofstream out(path, std::ios::trunc);
  for (const std::string& line : kept) out << line << '\n';
}

class Run {
 public:
  Run(const TrainCommand& command, std::ostream& log)
      : command_(command), log_(log), folder_(command.output), model_(command.config.model) {
    prepare_folder();
    initialise();
    trainer_ = std::make_unique<train::Trainer>(command.config, model_);
    if (command.start == TrainCommand::Start::resume) {
      const auto checkpoints = checkpoints_in(folder_ / "checkpoints");
      check<UsageError>(!checkpoints.empty(), "--resume: ", command.output, " holds no checkpoint; start without it");
      trainer_->load(checkpoints.back().string());
      keep_metrics_until(folder_ / "metrics.jsonl", trainer_->steps_done());
      log_ << "resuming after step " << trainer_->steps_done() << '\n';
    }
    metrics_.open(folder_ / "metrics.jsonl", std::ios::app);
    check<InputError>(metrics_.good(), "cannot write ", (folder_ / "metrics.jsonl").string());
  }

  void go(const std::function<bool()>& interrupted) {
    const TrainConfig& recipe = command_.config.train;
    while (trainer_->steps_done() < recipe.steps && !interrupted()) {
      try {
        note(trainer_->step());
      } catch (const Error&) {
        save();
        throw;
      }
      const std::int64_t done = trainer_->steps_done();
      if (done % recipe.checkpoint_every == 0 || done == recipe.steps) save();
    }
    if (trainer_->steps_done() < recipe.steps) {
      save();
      log_ << "interrupted after step " << trainer_->steps_done() << "; continue with --resume" << std::endl;
      return;
    }
    const std::string weights = (folder_ / "model.safetensors").string();
    nn::write_safetensors(weights, nn::file_tensors(model_.params()), {{"config", config::to_toml(command_.config)}});
    log_ << "wrote " << weights << std::endl;
  }

 private:
  void prepare_folder() {
    if (command_.start == TrainCommand::Start::fresh)
      check<UsageError>(checkpoints_in(folder_ / "checkpoints").empty(), "", command_.output,
                        ": holds a training run; continue it with --resume or choose another folder");
    std::error_code error;
    fs::create_directories(folder_ / "checkpoints", error);
    check<InputError>(!error, "cannot make the folder ", command_.output, ": ", error.message());
    std::ofstream(folder_ / "config.toml") << config::to_toml(command_.config);
    if (command_.start == TrainCommand::Start::fresh) std::ofstream(folder_ / "metrics.jsonl", std::ios::trunc).flush();
  }

  void initialise() {
    const Mask2FormerConfig& detector = command_.config.model.detector;
    nn::initialise(model_.params(), {.seed = static_cast<std::uint64_t>(command_.config.train.seed),
                                     .heads = detector.heads,
                                     .points = detector.points});
    if (command_.init_weights.empty()) return;
    const nn::LoadReport report =
        nn::load_into(model_.params(), nn::read_checkpoint(command_.init_weights), nn::image_checkpoint_options());
    log_ << command_.init_weights << ": " << report.summary() << '\n';
  }

  void note(const train::StepReport& report) {
    const TrainConfig& recipe = command_.config.train;
    metrics_ << record_of(report).dump() << '\n';
    seconds_ += report.seconds;
    waited_ += report.data_seconds;
    images_ += report.images;
    loss_ += report.total;
    ++steps_;
    const std::int64_t done = report.step + 1;
    if (done % recipe.log_every != 0 && done != recipe.steps) return;
    metrics_.flush();
    char line[200];
    const double left = seconds_ / static_cast<double>(steps_) * static_cast<double>(recipe.steps - done);
    std::snprintf(line, sizeof line,
                  "step %lld/%d  loss %.3f  lr %.2e  %.2f images/s  data wait %.1f %%  %.0f min left",
                  static_cast<long long>(done), recipe.steps, loss_ / static_cast<double>(steps_), report.learning_rate,
                  static_cast<double>(images_) / seconds_, 100 * waited_ / seconds_, left / 60);
    log_ << line;
    for (const auto& [name, value] : report.terms) {
      std::snprintf(line, sizeof line, "  %s %.3f", name.substr(5).c_str(), value);
      log_ << line;
    }
    log_ << std::endl;
    seconds_ = waited_ = loss_ = 0;
    images_ = steps_ = 0;
  }

  void save() {
    const fs::path folder = folder_ / "checkpoints";
    trainer_->save((folder / checkpoint_name(trainer_->steps_done())).string());
    const auto all = checkpoints_in(folder);
    const auto keep = static_cast<std::size_t>(command_.config.train.keep_checkpoints);
    for (std::size_t i = 0; i + keep < all.size(); ++i) fs::remove(all[i]);
  }

  const TrainCommand& command_;
  std::ostream& log_;
  fs::path folder_;
  Model model_;
  std::unique_ptr<train::Trainer> trainer_;
  std::ofstream metrics_;
  double seconds_ = 0, waited_ = 0, loss_ = 0;  // since the last line of the log
  std::int64_t images_ = 0, steps_ = 0;
};

}  // namespace

void train(const TrainCommand& command, std::ostream& log) {
  Interrupt interrupt;
  Run run(command, log);
  run.go([&] { return interrupt.requested(); });
}

}  // namespace visage::cli
