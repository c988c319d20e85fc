#include "train/trainer.h"

#include "nn/checkpoint/checkpoint.h"
#include "nn/checkpoint/load.h"
#include "nn/init/test_weights.h"
#include "ops/autocast.h"
#include "ops/optim/adamw.h"
#include "ops/optim/gradient_norm.h"
#include "ops/optim/learning_rate.h"
#include "ops/optim/moving_average.h"
#include "ops/shape/concatenate.h"
#include "tensor/cpu/parallel.h"
#include "tensor/stage_timer.h"
#include "tensor/transfer.h"
#include "train/data/sources.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace visage::train {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Points of the losses: draw n of batch b is the stream "<seed>/points/<b>/<n>".
UniformSource points_of_batch(std::int64_t seed, std::int64_t batch, Device device) {
  nn::HashStreams streams(std::to_string(seed) + "/points/" + std::to_string(batch) + "/", device);
  return [streams](const Dims& size, std::int64_t draws) mutable { return streams.uniform(size, draws); };
}

// "loss_mask_3" and "loss_mask" are one kind.
std::string kind_of(const std::string& term) {
  const auto underscore = term.find_last_of('_');
  const bool numbered = underscore != std::string::npos && underscore + 1 < term.size() &&
                        std::isdigit(static_cast<unsigned char>(term[underscore + 1]));
  return numbered ? term.substr(0, underscore) : term;
}

// The value of every term, then the total; one wait for the device.
std::vector<float> values_of(const TrainingLosses& losses) {
  const autograd::NoGrad constant;
  std::vector<Tensor> values;
  for (const LossTerm& term : losses.terms) values.push_back(autograd::detach(term.value));
  values.push_back(autograd::detach(losses.total));
  const Tensor all = to_device(ops::concatenate(values, 0), {});
  return {all.data<float>(), all.data<float>() + all.numel()};
}

// Adds the share of one batch to the sums of the step, by kind.
void add_terms(const TrainingLosses& losses, const std::vector<float>& values, double share,
               std::vector<std::pair<std::string, double>>& sums) {
  for (std::size_t i = 0; i < losses.terms.size(); ++i) {
    const std::string kind = kind_of(losses.terms[i].name);
    auto found = std::find_if(sums.begin(), sums.end(), [&](const auto& s) { return s.first == kind; });
    if (found == sums.end()) found = sums.insert(sums.end(), {kind, 0});
    found->second += share * losses.terms[i].weight * values[i];
  }
}

void check_finite(const TrainingLosses& losses, const std::vector<float>& values) {
  for (std::size_t i = 0; i < losses.terms.size(); ++i)
    check<NonFiniteError>(std::isfinite(values[i]), "", losses.terms[i].name, " is ", values[i]);
}

autograd::Activations activations(Recompute chosen, Recompute part) {
  return chosen == part || chosen == Recompute::all ? autograd::Activations::recompute : autograd::Activations::keep;
}

TrainingLossConfig losses_of(const TrainConfig& recipe) {
  TrainingLossConfig config;
  config.masks.num_points = recipe.num_points;
  config.backbone = activations(recipe.recompute, Recompute::backbone);
  config.encoder = activations(recipe.recompute, Recompute::encoder);
  return config;
}

// Averages of few steps forget faster: the random weights of the beginning would stay in them for too long.
double decay_of_step(double decay, std::int64_t steps) {
  const auto t = static_cast<double>(steps);
  return std::min(decay, (1 + t) / (10 + t));
}

Tensor scalar(std::int64_t value) {
  Tensor t = Tensor::empty({1}, DType::i64);
  *t.data<std::int64_t>() = value;
  return t;
}

std::string joined(const std::vector<std::string>& clips) {
  std::string text;
  for (const std::string& clip : clips) text += (text.empty() ? "" : "; ") + clip;
  return text;
}

constexpr const char* kStepName = "optimizer.step";
constexpr const char* kMeanName = "optimizer.exp_avg.";
constexpr const char* kSquareName = "optimizer.exp_avg_sq.";
constexpr const char* kAverageName = "ema.";

}  // namespace

Trainer::Trainer(const Config& config, Model& model)
    : config_(config),
      model_(model),
      objective_(model, losses_of(config.train)),
      sources_(make_sources(config)),
      parameters_(trained_parameters(model.params(), config.train)) {
  set_precision(config.train.precision, model.device());  // refuses before the first step
  for (const nn::Entry& entry : model.params().entries()) autograd::set_requires_grad(entry.value, false);
  for (const TrainedParameter& parameter : parameters_) {
    autograd::set_requires_grad(parameter.value);
    const Dims& size = parameter.value.size();
    const Device device = parameter.value.device();
    exp_avg_.push_back(Tensor::zeros(size, DType::f32, device));
    exp_avg_sq_.push_back(Tensor::zeros(size, DType::f32, device));
    if (config.train.ema_decay <= 0) continue;
    averages_.push_back(Tensor::empty(size, DType::f32, device));
    copy_into(averages_.back(), parameter.value);
  }
}

void Trainer::save(const std::string& path) const {
  std::vector<nn::NamedTensor> tensors = nn::file_tensors(model_.params());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    tensors.push_back({kMeanName + parameters_[i].name, to_device(exp_avg_[i], {})});
    tensors.push_back({kSquareName + parameters_[i].name, to_device(exp_avg_sq_[i], {})});
    if (!averages_.empty()) tensors.push_back({kAverageName + parameters_[i].name, to_device(averages_[i], {})});
  }
  tensors.push_back({kStepName, scalar(step_)});
  nn::write_safetensors(path, tensors,
                        {{"config", config::to_toml(config_)},
                         {"format", "visage training state"},
                         {"threads", std::to_string(cpu::num_threads())}});
}

void Trainer::load(const std::string& path) {
  nn::Checkpoint file = nn::read_checkpoint(path);
  const Tensor* step = file.find(kStepName);
  check<CheckpointError>(step && step->dtype() == DType::i64 && step->numel() == 1, "", path,
                         ": has no optimizer state; only files of this trainer can be resumed");
  std::vector<std::pair<Tensor, Tensor>> copies;  // from, to
  const auto plan_copy = [&](const std::string& name, const Tensor& to) {
    const Tensor* from = file.find(name);
    check<CheckpointError>(from && from->size() == to.size() && from->is_contiguous() && from->dtype() == DType::f32,
                           "", path, ": ", name, " is missing or of another size");
    copies.emplace_back(*from, to);
  };
  // Averages that the file lacks, because it is of a run without, begin at its weights.
  const bool has_averages = !averages_.empty() && file.find(kAverageName + parameters_.front().name);
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    plan_copy(kMeanName + parameters_[i].name, exp_avg_[i]);
    plan_copy(kSquareName + parameters_[i].name, exp_avg_sq_[i]);
    if (has_averages) plan_copy(kAverageName + parameters_[i].name, averages_[i]);
  }
  const std::int64_t steps = *step->data<std::int64_t>();
  std::erase_if(file.tensors, [](const nn::NamedTensor& t) {
    return t.name.starts_with("optimizer.") || t.name.starts_with(kAverageName);
  });
  (void)nn::load_into(model_.params(), file, {});
  for (const auto& [from, to] : copies) copy_into(to, from);
  for (std::size_t i = 0; i < averages_.size() && !has_averages; ++i) copy_into(averages_[i], parameters_[i].value);
  step_ = steps;
  loader_.reset();
}

void Trainer::calibrate_backbone() {
  const Tensor images = BatchMaker(sources_, batch_options(config_.train)).make(0).images;
  model_.backbone().calibrate(to_device(images, model_.device()));
}

void Trainer::swap_averages() {
  for (std::size_t i = 0; i < averages_.size(); ++i) {
    const Tensor& value = parameters_[i].value;
    const Tensor trained = Tensor::empty(value.size(), DType::f32, value.device());
    copy_into(trained, value);
    copy_into(value, averages_[i]);
    copy_into(averages_[i], trained);
  }
}

Batch Trainer::next_batch(StepReport& report) {
  const StageTimer timer("data");
  const TrainConfig& recipe = config_.train;
  if (!loader_)
    loader_ = std::make_unique<Loader>(sources_, LoaderOptions{.batch = batch_options(recipe),
                                                               .first_step = step_ * recipe.accumulate,
                                                               .workers = recipe.workers});
  const double start = seconds_now();
  Batch batch = loader_->next();
  report.data_seconds += seconds_now() - start;
  report.images += batch.images.size(0);
  for (std::int64_t clip = 0; clip < batch.clips; ++clip) {
    const auto first = batch.targets.begin() + clip * batch.frames;
    std::vector<FrameTargets> frames(first, first + batch.frames);
    mark_absent(frames, config_.model.detector.num_classes, recipe.absent_labels);
    std::copy(frames.begin(), frames.end(), first);
  }
  return batch;
}

void Trainer::back_propagate(const Batch& batch, StepReport& report) {
  const TrainConfig& recipe = config_.train;
  // Again at every step: an evaluation in between computes in f32.
  const ops::Autocast precision(set_precision(recipe.precision, model_.device()));
  autograd::Tape tape;
  const Device device = model_.device();
  const double share = 1.0 / recipe.accumulate;
  // All that the device is given goes there before its first kernel: a copy behind queued work would wait for it.
  const Tensor images = to_device(batch.images, device);
  const BatchTargets targets(batch.targets, device);
  const auto factor = static_cast<float>(share);
  const Tensor seed = to_device(Tensor::from({1}, &factor), device);
  const TrainingLosses losses =
      objective_(images, targets, batch.frames, points_of_batch(recipe.seed, batch.step, device));
  {
    const StageTimer timer("backward");
    tape.backward(losses.total, seed);
  }
  // Read when the backward is queued: the device has something to do meanwhile. Gradients of bad losses are not used.
  const std::vector<float> values = values_of(losses);
  report.total += share * values.back();
  add_terms(losses, values, share, report.terms);
  check_finite(losses, values);
}

void Trainer::update(StepReport& report) {
  const StageTimer timer("optimizer");
  const TrainConfig& recipe = config_.train;
  std::vector<Tensor> gradients;
  for (const TrainedParameter& parameter : parameters_) gradients.push_back(autograd::grad(parameter.value));
  const Tensor clip = ops::gradient_clip(gradients, recipe.clip_norm);
  std::vector<ops::AdamWTensor> updates;
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    if (gradients[i])
      updates.push_back({parameters_[i].value, gradients[i], exp_avg_[i], exp_avg_sq_[i],
                         report.learning_rate * parameters_[i].learning_rate_factor, parameters_[i].weight_decay});
  ops::adamw_step(updates, {.step = step_ + 1, .clip = clip});
  // Read when the step is queued: the device has something to do meanwhile. Without a finite norm the step is none.
  report.gradient_norm = *to_device(clip, {}).data<double>();
  if (!std::isfinite(report.gradient_norm)) {
    const auto bad = ops::first_non_finite(gradients);
    fail<NonFiniteError>("the gradient of ", bad ? parameters_[*bad].name : "?", " is not finite");
  }
  ++step_;
  if (averages_.empty()) return;
  std::vector<Tensor> values;
  for (const TrainedParameter& parameter : parameters_) values.push_back(parameter.value);
  ops::moving_average(averages_, values, decay_of_step(recipe.ema_decay, step_));
}

StepReport Trainer::step() {
  const TrainConfig& recipe = config_.train;
  StepReport report{.step = step_};
  const double start = seconds_now();
  report.learning_rate = ops::learning_rate({.base = recipe.learning_rate,
                                             .milestones = {recipe.decay_step},
                                             .decay = 0.1,
                                             .warmup_iterations = recipe.warmup_steps,
                                             .warmup_factor = 1.0 / std::max(recipe.warmup_steps, 1)},
                                            step_);
  for (const TrainedParameter& parameter : parameters_) autograd::zero_grad(parameter.value);
  std::vector<std::string> clips;
  try {
    for (int i = 0; i < recipe.accumulate; ++i) {
      const Batch batch = next_batch(report);
      clips.insert(clips.end(), batch.sources.begin(), batch.sources.end());
      back_propagate(batch, report);
    }
    update(report);
  } catch (const NonFiniteError& error) {
    throw NonFiniteStep("step " + std::to_string(step_ + 1) + ": " + error.what() + "; clips: " + joined(clips) +
                            "; lower train.learning_rate or look at these clips",
                        report, clips);
  }
  report.seconds = seconds_now() - start;
  return report;
}

}  // namespace visage::train
