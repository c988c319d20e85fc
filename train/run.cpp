#include "train/run.h"

#include "nn/checkpoint/checkpoint.h"
#include "nn/init/init.h"
#include "tensor/files.h"
#include "train/checkpoints.h"
#include "train/report.h"
#include "visage/model/load_weights.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cmath>
#include <filesystem>

namespace visage::train {
namespace {

namespace fs = std::filesystem;

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  check<InputError>(!error, "cannot make the folder ", folder.string(), ": ", error.message());
}

std::string nonfinite_json(const NonFiniteStep& error) {
  using Json = nlohmann::ordered_json;
  const auto number = [](double value) { return std::isfinite(value) ? Json(value) : Json(std::to_string(value)); };
  Json terms = Json::object();
  for (const auto& [name, value] : error.report.terms) terms[name] = number(value);
  const Json dump{{"step", error.report.step + 1},
                  {"error", error.what()},
                  {"clips", error.clips},
                  {"loss_terms", terms},
                  {"learning_rate", error.report.learning_rate},
                  {"gradient_norm", number(error.report.gradient_norm)}};
  return dump.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

class Run {
 public:
  Run(const RunOptions& options, const World& world, RunObserver& observer);
  void go();

 private:
  void lock_folder();
  std::string plan() const;  // what is about to be trained, in a line
  void initialise();
  void prepare_sets();
  void step();
  void evaluate();
  void save();
  void write_weights(const char* name) const;  // those the model has now
  bool due(int every) const { return every > 0 && (steps_done() % every == 0 || steps_done() == recipe().steps); }
  bool is_evaluated() const;
  bool stop_requested() const;  // of any process
  bool is_first() const { return world_.is_first(); }

  const TrainConfig& recipe() const { return options_.config.train; }
  std::int64_t steps_done() const { return trainer_->steps_done(); }
  std::string file(const char* name) const { return (folder_ / name).string(); }

  const RunOptions& options_;
  const World& world_;
  RunObserver& observer_;
  const fs::path folder_;
  std::unique_ptr<files::FolderLock> lock_;  // process 0: two runs in one folder would mix their files
  const Checkpoints checkpoints_;
  Model model_;
  std::unique_ptr<Trainer> trainer_;
  std::vector<EvaluationSet> sets_;
  RunReport report_;
  std::unique_ptr<MetricsFile> metrics_;
};

Run::Run(const RunOptions& options, const World& world, RunObserver& observer)
    : options_(options),
      world_(world),
      observer_(observer),
      folder_(options.folder),
      checkpoints_(folder_ / "checkpoints", recipe().keep_checkpoints),
      model_(options.config.model, options.device),
      report_(fs::absolute(folder_ / ".").parent_path().filename().string(), options.config) {
  const bool fresh = options.start == RunOptions::Start::fresh;
  if (is_first() && fs::exists(folder_)) lock_folder();
  if (fresh && is_first())
    check<UsageError>(checkpoints_.files().empty(), "", options.folder,
                      ": holds a training run; resume it or choose another folder");
  initialise();
  trainer_ = std::make_unique<Trainer>(options.config, model_, world);
  if (fresh && options.init_weights.empty() && recipe().backbone_norm == BackboneNorm::trained)
    trainer_->calibrate_backbone();
  if (recipe().eval_every > 0) sets_ = make_evaluation_sets(options.config, file("eval"));
  if (!fresh && is_first()) {
    checkpoints_.resume(*trainer_, options.config, [&](const std::string& text) { observer.note("warning: " + text); });
    observer.note("resuming after step " + std::to_string(steps_done()));
  }
  trainer_->share_state();
  if (is_first()) {
    make_folder(folder_ / "checkpoints");
    if (!lock_) lock_folder();
    files::write_file(file("config.toml"), config::to_toml(options.config));
    metrics_ = std::make_unique<MetricsFile>(file("metrics.jsonl"), steps_done(), report_);
    if (fresh) checkpoints_.save(*trainer_);  // from here on the run can be resumed
    if (!sets_.empty()) make_folder(folder_ / "eval");
    prepare_sets();
  }
  world.host().barrier();
  if (!is_first()) prepare_sets();
}

void Run::prepare_sets() {
  for (EvaluationSet& set : sets_) set.prepare(options_.config.model.detector.num_classes);
}

void Run::lock_folder() {
  lock_ = files::FolderLock::take(options_.folder);
  check<UsageError>(lock_ != nullptr, "", options_.folder,
                    ": another process trains in this folder; wait for its end or choose another folder");
}

std::string Run::plan() const {
  const TrainConfig& r = recipe();
  const auto text = [](int number) { return std::to_string(number); };
  const std::string batches = r.accumulate > 1 ? text(r.accumulate) + " x " : "";
  return "training " + text(r.steps) + " steps of " + batches + text(r.clips) + (r.clips == 1 ? " clip" : " clips") +
         " of " + text(r.frames) + " frames in " + options_.folder;
}

void Run::initialise() {
  const Mask2FormerConfig& detector = options_.config.model.detector;
  nn::initialise(
      model_.params(),
      {.seed = static_cast<std::uint64_t>(recipe().seed), .heads = detector.heads, .points = detector.points});
  if (options_.init_weights.empty() || options_.start == RunOptions::Start::resume) return;
  const nn::LoadReport loaded = load_weights(model_, options_.init_weights, nn::image_checkpoint_options());
  if (is_first()) observer_.note(options_.init_weights + ": " + loaded.summary());
}

void Run::go() {
  if (is_first() && steps_done() < recipe().steps) observer_.note(plan());
  // An evaluation that was interrupted comes first.
  if (steps_done() > 0 && due(recipe().eval_every) && !is_evaluated()) evaluate();
  bool saved = true;
  while (steps_done() < recipe().steps && !stop_requested()) {
    try {
      step();
      saved = false;
      if (due(recipe().eval_every)) evaluate();
    } catch (const CommunicationError&) {
      throw;  // in the middle of a step: the last checkpoint is what there is
    } catch (const Error&) {
      save();
      throw;
    }
    if (!due(recipe().checkpoint_every)) continue;
    save();
    saved = true;
  }
  if (!saved) save();
  if (!is_first()) return;
  if (steps_done() < recipe().steps) {
    observer_.note("interrupted after step " + std::to_string(steps_done()) + "; resume it to go on");
    return;
  }
  {
    const AveragedWeights scope(*trainer_);
    write_weights("model.safetensors");
  }
  observer_.note("wrote " + file("model.safetensors") + " and " + file("report.html"));
}

void Run::step() {
  try {
    const StepReport report = trainer_->step();
    if (!is_first()) return;
    metrics_->add(report);
    report_.add(report);
    observer_.stepped(report);
  } catch (const NonFiniteStep& error) {
    if (!is_first()) throw;
    const std::string dump = file(("nonfinite_step_" + std::to_string(error.report.step + 1) + ".json").c_str());
    files::write_file(dump, nonfinite_json(error));
    throw NonFiniteStep(std::string(error.what()) + "; " + dump + " has the details", error.report, error.clips);
  }
}

bool Run::is_evaluated() const {
  const auto& evaluations = report_.evaluations();
  return world_.host().of_first(!evaluations.empty() && evaluations.back().steps == steps_done());
}

bool Run::stop_requested() const { return world_.host().any(observer_.stop_requested()); }

void Run::evaluate() {
  const AveragedWeights scope(*trainer_);
  const auto start = std::chrono::steady_clock::now();
  EvaluationReport evaluation{.steps = steps_done(), .scores = {}};
  try {
    for (const EvaluationSet& set : sets_)
      evaluation.scores.push_back(
          set.score(model_, options_.config, world_.host(), [&](std::int64_t done, std::int64_t frames) {
            if (observer_.stop_requested()) throw EvaluationEnded{};
            if (is_first()) observer_.evaluating(set.name(), done, frames);
          }));
  } catch (const EvaluationEnded&) {
    return;
  }
  if (!is_first()) return;
  evaluation.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  double best = -1;
  for (const EvaluationReport& earlier : report_.evaluations()) best = std::max(best, earlier.ap());
  if (evaluation.ap() > best) write_weights("best.safetensors");
  metrics_->add(evaluation);
  metrics_->flush();
  report_.add(evaluation);
  report_.write(file("report.html"));
  observer_.evaluated(evaluation);
}

// The metrics come first, so that a checkpoint never has steps that they lack.
void Run::save() {
  if (!is_first()) return;
  metrics_->flush();
  checkpoints_.save(*trainer_);
  report_.write(file("report.html"));
}

void Run::write_weights(const char* name) const {
  nn::write_safetensors(file(name), nn::file_tensors(model_.params()), {{"config", config::to_toml(options_.config)}});
}

}  // namespace

void run(const RunOptions& options, const World& world, RunObserver& observer) { Run(options, world, observer).go(); }

}  // namespace visage::train
