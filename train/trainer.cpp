#include "train/trainer.h"

#include "nn/checkpoint/checkpoint.h"
#include "nn/checkpoint/load.h"
#include "nn/init/test_weights.h"
#include "ops/autocast.h"
#include "ops/optim/adamw.h"
#include "ops/optim/gradient_norm.h"
#include "ops/optim/learning_rate.h"
#include "train/data/sources.h"

#include <chrono>
#include <cmath>
#include <cstring>
#include <map>

namespace visage::train {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Points of the losses: call n of step s draws from the stream "<seed>/points/<s>/<n>".
UniformSource points_of_step(std::int64_t seed, std::int64_t step) {
  return
      [prefix = std::to_string(seed) + "/points/" + std::to_string(step) + "/", call = 0](const Dims& shape) mutable {
        Tensor t = Tensor::empty(shape);
        const nn::HashStream stream(prefix + std::to_string(call++));
        for (std::int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = stream.uniform(i);
        return t;
      };
}

// "loss_mask_3" and "loss_mask" are one kind.
std::string kind_of(const std::string& term) {
  const auto underscore = term.find_last_of('_');
  const bool numbered = underscore != std::string::npos && underscore + 1 < term.size() &&
                        std::isdigit(static_cast<unsigned char>(term[underscore + 1]));
  return numbered ? term.substr(0, underscore) : term;
}

std::vector<std::pair<std::string, double>> summed_terms(const TrainingLosses& losses) {
  std::vector<std::pair<std::string, double>> sums;
  for (const LossTerm& term : losses.terms) {
    const std::string kind = kind_of(term.name);
    auto found = std::find_if(sums.begin(), sums.end(), [&](const auto& s) { return s.first == kind; });
    if (found == sums.end()) found = sums.insert(sums.end(), {kind, 0});
    found->second += term.weight * *term.value.data<float>();
  }
  return sums;
}

Tensor scalar(std::int64_t value) {
  Tensor t = Tensor::empty({1}, DType::i64);
  *t.data<std::int64_t>() = value;
  return t;
}

std::string describe(const Batch& batch) {
  std::string text;
  for (const std::string& source : batch.sources) text += (text.empty() ? "" : "; ") + source;
  return text;
}

constexpr const char* kStepName = "optimizer.step";
constexpr const char* kMeanName = "optimizer.exp_avg.";
constexpr const char* kSquareName = "optimizer.exp_avg_sq.";

}  // namespace

Trainer::Trainer(const Config& config, Model& model)
    : config_(config),
      model_(model),
      products_(product_dtype(config.train.precision)),
      parameters_(trained_parameters(model.params(), config.train)) {
  for (const TrainedParameter& parameter : parameters_) {
    exp_avg_.push_back(Tensor::zeros(parameter.value.size()));
    exp_avg_sq_.push_back(Tensor::zeros(parameter.value.size()));
  }
}

void Trainer::save(const std::string& path) const {
  std::vector<nn::NamedTensor> tensors = nn::file_tensors(model_.params());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    tensors.push_back({kMeanName + parameters_[i].name, exp_avg_[i]});
    tensors.push_back({kSquareName + parameters_[i].name, exp_avg_sq_[i]});
  }
  tensors.push_back({kStepName, scalar(step_)});
  nn::write_safetensors(path, tensors, {{"config", config::to_toml(config_)}, {"format", "visage training state"}});
}

void Trainer::load(const std::string& path) {
  nn::Checkpoint file = nn::read_checkpoint(path);
  const Tensor* step = file.find(kStepName);
  check<CheckpointError>(step != nullptr, "", path,
                         ": has no optimizer state; only files of this trainer can be resumed");
  const auto restore = [&](const std::string& name, const Tensor& into) {
    const Tensor* from = file.find(name);
    check<CheckpointError>(from && from->size() == into.size() && from->is_contiguous() && from->dtype() == DType::f32,
                           "", path, ": ", name, " is missing or of another size");
    std::memcpy(into.data<float>(), from->data<float>(), into.nbytes());
  };
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    restore(kMeanName + parameters_[i].name, exp_avg_[i]);
    restore(kSquareName + parameters_[i].name, exp_avg_sq_[i]);
  }
  step_ = *step->data<std::int64_t>();
  std::erase_if(file.tensors, [](const nn::NamedTensor& t) { return t.name.starts_with("optimizer."); });
  (void)nn::load_into(model_.params(), file, {});
  loader_.reset();
}

std::vector<Tensor> Trainer::gradients() const {
  std::vector<Tensor> all;
  for (const TrainedParameter& parameter : parameters_) all.push_back(autograd::grad(parameter.value));
  return all;
}

void Trainer::check_finite(const TrainingLosses& losses, const Batch& batch) const {
  for (const LossTerm& term : losses.terms)
    check(std::isfinite(*term.value.data<float>()), "step ", step_, ": ", term.name, " is ", *term.value.data<float>(),
          "; clips: ", describe(batch), "; lower train.learning_rate or look at these clips");
}

StepReport Trainer::step() {
  const TrainConfig& recipe = config_.train;
  if (!loader_)
    loader_ = std::make_unique<Loader>(
        make_sources(config_),
        LoaderOptions{.batch = batch_options(recipe), .first_step = step_, .workers = recipe.workers});
  StepReport report{.step = step_};
  const double start = seconds_now();
  Batch batch = loader_->next();
  report.data_seconds = seconds_now() - start;
  report.images = batch.images.size(0);
  for (std::int64_t clip = 0; clip < batch.clips; ++clip) {
    const auto first = batch.targets.begin() + clip * batch.frames;
    std::vector<FrameTargets> frames(first, first + batch.frames);
    mark_absent(frames, config_.model.detector.num_classes, recipe.absent_labels);
    std::copy(frames.begin(), frames.end(), first);
  }

  for (const TrainedParameter& parameter : parameters_) autograd::zero_grad(parameter.value);
  {
    TrainingLossConfig losses_config;
    losses_config.masks.num_points = recipe.num_points;
    const ops::Autocast precision(products_);
    autograd::Tape tape;
    const TrainingLosses losses = training_losses(model_, batch.images, batch.targets, batch.frames,
                                                  points_of_step(recipe.seed, step_), losses_config);
    check_finite(losses, batch);
    report.total = *losses.total.data<float>();
    report.terms = summed_terms(losses);
    tape.backward(losses.total);
  }

  const std::vector<Tensor> all = gradients();
  report.gradient_norm = ops::global_norm(all);
  if (!std::isfinite(report.gradient_norm)) {
    const auto bad = ops::first_non_finite(all);
    fail("step ", step_, ": the gradient of ", bad ? parameters_[*bad].name : "?",
         " is not finite; clips: ", describe(batch));
  }
  report.learning_rate = ops::learning_rate({.base = recipe.learning_rate,
                                             .milestones = {recipe.decay_step},
                                             .decay = 0.1,
                                             .warmup_iterations = recipe.warmup_steps,
                                             .warmup_factor = 1.0 / std::max(recipe.warmup_steps, 1)},
                                            step_);
  std::vector<ops::AdamWTensor> updates;
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    if (all[i])
      updates.push_back({parameters_[i].value, all[i], exp_avg_[i], exp_avg_sq_[i],
                         report.learning_rate * parameters_[i].learning_rate_factor, parameters_[i].weight_decay});
  ops::adamw_step(updates,
                  {.step = ++step_, .gradient_scale = ops::clip_coefficient(report.gradient_norm, recipe.clip_norm)});
  report.seconds = seconds_now() - start;
  return report;
}

}  // namespace visage::train
