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
#include "visage/model/load_weights.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace visage::train {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Points of the losses of a step: those of a use and a head are a stream "<seed>/points/<step>/<use>/<head>" for the
// whole batch, of which a part draws its rows.
UniformSource points_of_step(std::int64_t seed, std::int64_t step, Device device) {
  const std::string prefix = std::to_string(seed) + "/points/" + std::to_string(step) + "/";
  return [prefix, device](const Dims& shape, const PointDraw& draw) {
    const std::string name = prefix + std::to_string(static_cast<int>(draw.use)) + "/" + std::to_string(draw.head);
    return nn::HashStream(name).uniform(shape, device, draw.first * shape[1] * shape[2]);
  };
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

const std::string kStepName = std::string(kOptimizerState) + "step";
const std::string kMeanName = std::string(kOptimizerState) + "exp_avg.";
const std::string kSquareName = std::string(kOptimizerState) + "exp_avg_sq.";
const std::string kAverageName = kAveragedWeights;

}  // namespace

/// What a process adds to the report of a step.
struct Trainer::Contribution {
  double total = 0;
  std::vector<std::pair<std::string, double>> terms;  // weighted, by kind
  std::int64_t images = 0;
  std::vector<std::string> clips;
  std::string failure;  // what is not finite

  void add(const std::string& kind, double value) {
    auto found = std::find_if(terms.begin(), terms.end(), [&](const auto& term) { return term.first == kind; });
    if (found == terms.end()) found = terms.insert(terms.end(), {kind, 0});
    found->second += value;
  }
  /// Waits for the losses. throws NonFiniteError naming the first that is not finite.
  void add(const TrainingLosses& losses) {
    const std::vector<float> values = values_of(losses);
    total += values.back();
    for (std::size_t i = 0; i < losses.terms.size(); ++i) {
      const LossTerm& term = losses.terms[i];
      add(kind_of(term.name), term.weight * values[i]);
      check<NonFiniteError>(std::isfinite(values[i]), "", term.name, " is ", values[i]);
    }
  }
  void add(const Contribution& other) {
    total += other.total;
    for (const auto& [kind, value] : other.terms) add(kind, value);
    images += other.images;
    clips.insert(clips.end(), other.clips.begin(), other.clips.end());
    if (failure.empty()) failure = other.failure;
  }

  /// The sum over the processes, on process 0; on the others their own part, but with a failure if there is any.
  static Contribution over(HostCommunicator& group, const Contribution& mine);
};

Trainer::Contribution Trainer::Contribution::over(HostCommunicator& group, const Contribution& mine) {
  if (group.size() == 1) return mine;
  using nlohmann::json;
  const json text{mine.total, mine.terms, mine.images, mine.clips, mine.failure};
  Contribution sum = group.rank() == 0 ? Contribution() : mine;
  for (const std::string& part : group.gather(text.dump(-1, ' ', false, json::error_handler_t::replace))) {
    const json read = json::parse(part);
    const double total = read[0].is_null() ? NAN : read[0].get<double>();  // not finite: null in JSON
    Contribution one{.total = total, .terms = {}, .images = read[2], .clips = read[3], .failure = read[4]};
    for (const json& term : read[1]) one.terms.emplace_back(term[0], term[1].is_null() ? NAN : term[1].get<double>());
    sum.add(one);
  }
  if (group.of_first(!sum.failure.empty()) && sum.failure.empty())
    sum.failure = "a loss of another process is not finite";
  return sum;
}

Trainer::Trainer(const Config& config, Model& model) : Trainer(config, model, alone_) {}

Trainer::Trainer(const Config& config, Model& model, const World& world)
    : config_(config),
      model_(model),
      world_(world),
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
  static_cast<void>(BatchMaker(sources_, batches()));  // refuses what cannot be shared
  if (world.size() == 1) return;
  std::vector<Tensor> values;
  for (const TrainedParameter& parameter : parameters_) values.push_back(parameter.value);
  reducer_ = std::make_unique<GradientReducer>(world.tensors(), std::move(values));
}

BatchOptions Trainer::batches() const {
  BatchOptions options = batch_options(config_.train);
  options.shard = world_.rank();
  options.shards = world_.size();
  return options;
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
                         {"processes", std::to_string(world_.size())},
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
    return t.name.starts_with(kOptimizerState) || t.name.starts_with(kAverageName);
  });
  (void)nn::load_into(model_.params(), file, {});
  for (const auto& [from, to] : copies) copy_into(to, from);
  for (std::size_t i = 0; i < averages_.size() && !has_averages; ++i) copy_into(averages_[i], parameters_[i].value);
  step_ = steps;
  loader_.reset();
}

void Trainer::share_state() {
  if (world_.size() == 1) return;
  const auto share = [&](const std::vector<Tensor>& tensors) {
    for (const Tensor& tensor : tensors) {
      world_.tensors().broadcast(tensor);
      tensor.storage()->bump_version();
    }
  };
  std::vector<Tensor> values;
  for (const nn::Entry& entry : model_.params().entries()) values.push_back(entry.value);
  share(values);
  share(exp_avg_);
  share(exp_avg_sq_);
  share(averages_);
  const Tensor step = scalar(step_);
  world_.host().broadcast(step);
  step_ = *step.data<std::int64_t>();
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
    loader_ = std::make_unique<Loader>(
        sources_,
        LoaderOptions{.batch = batches(), .first_step = step_ * recipe.accumulate, .workers = recipe.workers});
  const double start = seconds_now();
  Batch batch = loader_->next();
  report.data_seconds += seconds_now() - start;
  for (std::int64_t clip = 0; clip < batch.clips; ++clip) {
    const auto first = batch.targets.begin() + clip * batch.frames;
    std::vector<FrameTargets> frames(first, first + batch.frames);
    mark_absent(frames, config_.model.detector.num_classes, recipe.absent_labels, model_.mode());
    std::copy(frames.begin(), frames.end(), first);
  }
  return batch;
}

std::vector<BatchShare> Trainer::join_parts(std::vector<Batch>& batches) const {
  // A row a part of the step, in their order: a batch after the other, in it a process after the other.
  enum Column : std::uint8_t { items, matched, instances, class_weight, anchors, height, width, columns };
  const std::int64_t processes = world_.size();
  const Tensor table = Tensor::zeros({std::ssize(batches) * processes, columns}, DType::f64);
  const auto row = [&](std::size_t batch, std::int64_t process) {
    return table.data<double>() + (static_cast<std::int64_t>(batch) * processes + process) * columns;
  };
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const BatchCounts counts =
        count_targets(batches[i].targets, batches[i].frames, model_.config(), losses_of(config_.train));
    const Dims& images = batches[i].images.size();
    double* const mine = row(i, world_.rank());
    mine[items] = counts.items;
    mine[matched] = counts.matched;
    mine[instances] = counts.instances;
    mine[class_weight] = counts.class_weight;
    mine[anchors] = counts.anchors;
    mine[height] = static_cast<double>(images[1]);
    mine[width] = static_cast<double>(images[2]);
  }
  world_.host().all_reduce(table);

  std::vector<BatchShare> shares(batches.size());
  double total[columns] = {};  // of the parts so far
  for (std::size_t i = 0; i < batches.size(); ++i)
    for (std::int64_t process = 0; process < processes; ++process) {
      const double* const part = row(i, process);
      if (process == world_.rank())
        shares[i] = {.first_item = std::llround(total[items]),
                     .first_match = std::llround(total[matched]),
                     .class_weight = part[class_weight]};
      for (const Column c : {items, matched, instances, class_weight, anchors}) total[c] += part[c];
      for (const Column c : {height, width}) total[c] = std::max(total[c], part[c]);
    }
  for (Batch& batch : batches) pad_batch(batch, std::llround(total[height]), std::llround(total[width]));
  for (BatchShare& share : shares) {
    share.instances = std::max(total[instances], 1.0);
    share.class_weight = total[class_weight] > 0 ? share.class_weight / total[class_weight] : 0;
    share.anchors = std::max(total[anchors], 1.0);
  }
  return shares;
}

Trainer::Contribution Trainer::back_propagate(std::vector<Batch>& batches) {
  const std::vector<BatchShare> shares = join_parts(batches);
  Contribution sum;
  for (const Batch& batch : batches) {
    sum.images += batch.images.size(0);
    sum.clips.insert(sum.clips.end(), batch.sources.begin(), batch.sources.end());
  }
  try {
    for (std::size_t i = 0; i < batches.size(); ++i)
      // Read when the backward is queued: the device has something to do meanwhile. Gradients of bad losses are not
      // used.
      sum.add(back_propagate(batches[i], shares[i], i + 1 == batches.size()));
  } catch (const NonFiniteError& error) {
    sum.failure = error.what();  // the other processes must hear of it
  }
  if (reducer_) reducer_->finish();
  return sum;
}

TrainingLosses Trainer::back_propagate(const Batch& batch, const BatchShare& share, bool last) {
  const TrainConfig& recipe = config_.train;
  // Again at every step: an evaluation in between computes in f32.
  const ops::Autocast precision(set_precision(recipe.precision, model_.device()));
  autograd::Tape tape;
  const Device device = model_.device();
  // All that the device is given goes there before its first kernel: a copy behind queued work would wait for it.
  const Tensor images = to_device(batch.images, device);
  const BatchTargets targets(model_.mode() == Mode::offline ? clip_targets(batch.targets, batch.frames) : batch.targets,
                             device);
  TrainingLosses losses = objective_(images, targets, batch.frames, points_of_step(recipe.seed, step_, device), share);
  const StageTimer timer("backward");
  if (reducer_ && last)
    tape.backward(losses.total, {}, [&](const autograd::Meta& leaf) { reducer_->ready(leaf); });
  else
    tape.backward(losses.total);
  return losses;
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
  if (reducer_)
    reducer_->begin();
  else
    for (const TrainedParameter& parameter : parameters_) autograd::zero_grad(parameter.value);
  std::vector<Batch> batches;
  for (int i = 0; i < recipe.accumulate; ++i) batches.push_back(next_batch(report));
  const Contribution sum = Contribution::over(world_.host(), back_propagate(batches));
  report.total = sum.total;
  report.terms = sum.terms;
  report.images = sum.images;
  try {
    check<NonFiniteError>(sum.failure.empty(), "", sum.failure);
    update(report);
  } catch (const NonFiniteError& error) {
    throw NonFiniteStep("step " + std::to_string(step_ + 1) + ": " + error.what() + "; clips: " + joined(sum.clips) +
                            "; lower train.learning_rate or look at these clips",
                        report, sum.clips);
  }
  report.seconds = seconds_now() - start;
  return report;
}

}  // namespace visage::train
