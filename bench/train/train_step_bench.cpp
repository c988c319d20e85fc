// One training step on a fixed batch: forward, losses, backward, norm of the gradients, AdamW. Reported are wall time,
// CPU time of all threads, the peak memory of the process, and the loss of the last step, which falls.
// bench/peers/train_step.py is the same step in PyTorch. Set OMP_WAIT_POLICY=passive, or waiting threads spin and their
// time is counted.
#include "nn/init/init.h"
#include "nn/init/test_weights.h"
#include "ops/autocast.h"
#include "ops/optim/adamw.h"
#include "ops/optim/gradient_norm.h"
#include "tensor/cpu/onednn.h"
#include "tensor/stage_timer.h"
#include "train/optim/parameter_groups.h"
#include "visage/config/config.h"
#include "visage/model/training_losses.h"

#include <benchmark/benchmark.h>

#include <memory>
#include <sys/resource.h>

namespace {

using namespace visage;

struct Shape {
  std::int64_t clips, frames, height, width;
};

constexpr std::int64_t kInstances = 4;  // of every frame

// Instance i is a rectangle that moves to the right.
FrameTargets rectangles(std::int64_t height, std::int64_t width, std::int64_t frame) {
  FrameTargets targets;
  targets.masks = Tensor::zeros({kInstances, height, width}, DType::u8);
  for (std::int64_t i = 0; i < kInstances; ++i) {
    targets.labels.push_back(i);
    targets.ids.push_back(i);
    const std::int64_t left = width * i / 8 + 4 * frame, top = height * i / 8;
    for (std::int64_t y = top; y < top + height / 2; ++y)
      std::fill_n(targets.masks.data<std::uint8_t>() + (i * height + y) * width + left, width / 2, std::uint8_t{1});
  }
  return targets;
}

TrainingLossConfig with_points(int count) {
  TrainingLossConfig config;
  config.masks.num_points = count;
  return config;
}

class Steps {
 public:
  Steps(const Config& config, const Shape& shape, DType products)
      : config_(config),
        shape_(shape),
        products_(products),
        model_(config.model),
        objective_(model_, with_points(config.train.num_points)),
        images_(nn::HashStream("images").uniform({shape.clips * shape.frames, shape.height, shape.width, 3})) {
    const Mask2FormerConfig& detector = config.model.detector;
    nn::initialise(model_.params(), {.seed = 1, .heads = detector.heads, .points = detector.points});
    parameters_ = train::trained_parameters(model_.params(), config.train);
    for (const train::TrainedParameter& parameter : parameters_) {
      exp_avg_.push_back(Tensor::zeros(parameter.value.size()));
      exp_avg_sq_.push_back(Tensor::zeros(parameter.value.size()));
    }
    for (std::int64_t n = 0; n < images_.size(0); ++n)
      targets_.push_back(rectangles(shape.height, shape.width, n % shape.frames));
  }

  double step() {
    for (const train::TrainedParameter& parameter : parameters_) autograd::zero_grad(parameter.value);
    int call = 0;
    const auto points = [&](const Dims& size, const PointDraw&) {
      return nn::HashStream(std::to_string(step_) + "/" + std::to_string(call++)).uniform(size);
    };
    const ops::Autocast products(products_);
    autograd::Tape tape;
    TrainingLosses losses;
    {
      const StageTimer timer("forward");
      losses = objective_(images_, BatchTargets(targets_, {}), shape_.frames, points);
    }
    {
      const StageTimer timer("backward");
      tape.backward(losses.total);
    }
    const StageTimer timer("update");
    update();
    return *losses.total.data<float>();
  }

  std::int64_t parameters() const {
    std::int64_t count = 0;
    for (const train::TrainedParameter& parameter : parameters_) count += parameter.value.numel();
    return count;
  }

 private:
  void update() {
    std::vector<Tensor> gradients;
    std::vector<ops::AdamWTensor> updates;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      gradients.push_back(autograd::grad(parameters_[i].value));
      updates.push_back({parameters_[i].value, gradients[i], exp_avg_[i], exp_avg_sq_[i],
                         1e-4 * parameters_[i].learning_rate_factor, parameters_[i].weight_decay});
    }
    ops::adamw_step(updates, {.step = ++step_, .clip = ops::gradient_clip(gradients, 0.01)});
  }

  const Config config_;
  const Shape shape_;
  const DType products_;
  Model model_;
  TrainingObjective objective_;
  Tensor images_;  // [N, H, W, 3]
  std::vector<FrameTargets> targets_;
  std::vector<train::TrainedParameter> parameters_;
  std::vector<Tensor> exp_avg_, exp_avg_sq_;
  std::int64_t step_ = 0;
};

Config small_config() {
  Config config;
  config.model.backbone = {.depth = 18, .width = 32};
  Mask2FormerConfig& detector = config.model.detector;
  detector.num_classes = 8;
  detector.num_queries = 20;
  detector.hidden = 96;
  detector.heads = 4;
  detector.encoder_layers = 2;
  detector.encoder_ffn = 256;
  detector.decoder_layers = 3;
  detector.decoder_ffn = 256;
  config.train.num_points = 1024;
  return config;
}

void train_step(benchmark::State& state, const Config& config, const Shape& shape, DType products) {
  if (products == DType::bf16 && !cpu::onednn::has_fast_bf16()) return state.SkipWithError("no bf16 instructions");
  Steps steps(config, shape, products);
  for (int i = 0; i < 2; ++i) (void)steps.step();  // plans primitives, allocates
  reset_stage_times();
  double loss = 0;
  for (auto _ : state) loss = steps.step();
  for (const StageTime& stage : stage_times())
    state.counters[stage.name + "_cpu_ms"] = 1e3 * stage.cpu_seconds / static_cast<double>(stage.calls);
  state.counters["loss"] = loss;
  state.counters["parameters"] = static_cast<double>(steps.parameters());
  // Of the whole process: run one case at a time (--benchmark_filter) to have its own peak.
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  state.counters["process_peak_MB"] = static_cast<double>(usage.ru_maxrss) / 1024;
}

const int registered = [] {
  const auto add = [](const char* name, const Config& config, const Shape& shape, DType products, int iterations) {
    benchmark::RegisterBenchmark(name, train_step, config, shape, products)
        ->Unit(benchmark::kMillisecond)
        ->MeasureProcessCPUTime()
        ->UseRealTime()
        ->Iterations(iterations);
  };
  add("r50/2x256x448/f32", Config{}, {1, 2, 256, 448}, DType::f32, 4);
  add("r50/2x256x448/bf16", Config{}, {1, 2, 256, 448}, DType::bf16, 4);
  add("small/4x192x320/f32", small_config(), {2, 2, 192, 320}, DType::f32, 12);
  add("small/4x192x320/bf16", small_config(), {2, 2, 192, 320}, DType::bf16, 12);
  return 0;
}();

}  // namespace
