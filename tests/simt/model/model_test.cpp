// The whole network on the host-executed GPU against the CPU: an inference frame with both plans, tracks of a clip, and
// a training step with every gradient and every parameter after it.
#include "nn/init/test_weights.h"
#include "ops/optim/adamw.h"
#include "ops/optim/gradient_norm.h"
#include "tensor/cuda/stall.h"
#include "tensor/replay.h"
#include "tensor/transfer.h"
#include "tests/support/values.h"
#include "visage/model/clip_detector.h"
#include "visage/model/training_losses.h"
#include "visage/pipeline/video_pipeline.h"
#include "visage/pseudo/procedural.h"
#include "visage/pseudo/pseudo_video.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <string_view>

namespace visage {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};

ModelConfig tiny(Mode mode = Mode::online) {
  ModelConfig config;
  config.backbone = {.depth = 18, .width = 8};
  config.detector = {.mode = mode,
                     .num_classes = 3,
                     .num_queries = 7,
                     .hidden = 32,
                     .heads = 2,
                     .encoder_layers = 2,
                     .encoder_ffn = 48,
                     .decoder_layers = 4,
                     .decoder_ffn = 48};
  return config;
}

/// The same weights on both devices.
struct Twins {
  Model cpu, cuda;
  explicit Twins(Mode mode = Mode::online) : cpu(tiny(mode)), cuda(tiny(mode), kCuda) {
    nn::fill_test_weights(cpu.params(), "twins");
    nn::fill_test_weights(cuda.params(), "twins");
  }
};

/// Largest difference relative to the largest magnitude, or to `least` where that is larger.
double difference(const Tensor& expected, const Tensor& actual, double least = 1e-12) {
  const auto a = test::values_of(expected), b = test::values_of(actual);
  if (a.size() != b.size()) return INFINITY;
  double largest = least, apart = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(b[i])) return INFINITY;
    largest = std::max(largest, std::abs(a[i]));
    apart = std::max(apart, std::abs(a[i] - b[i]));
  }
  return apart / largest;
}

void expect_same(const Detection& expected, const Detection& actual, double tolerance) {
  EXPECT_EQ(actual.class_logits.device(), kCuda);
  EXPECT_LE(difference(expected.class_logits, actual.class_logits), tolerance);
  EXPECT_LE(difference(expected.mask_logits, actual.mask_logits), tolerance);
  EXPECT_LE(difference(expected.object, actual.object), tolerance);
  EXPECT_LE(difference(expected.appearance, actual.appearance), tolerance);
}

TEST(ModelOnCuda, PlainPlanEqualsTheCpu) {
  const Twins models;
  const Tensor images = test::random_normal({2, 64, 96, 3}, 1);
  const Detection expected = make_plain_detector(models.cpu)->detect(images, nullptr);
  expect_same(expected, make_plain_detector(models.cuda)->detect(to_device(images, kCuda), nullptr), 2e-4);
}

TEST(ModelOnCuda, FastPlanEqualsTheCpu) {
  const Twins models;
  const auto on_cpu = make_fast_detector(models.cpu, Precision::f32);
  const auto on_cuda = make_fast_detector(models.cuda, Precision::f32);
  for (const Dims& size : {Dims{1, 64, 96, 3}, Dims{2, 32, 64, 3}}) {
    SCOPED_TRACE(testing::Message() << size);
    const Tensor images = test::random_normal(size, 1);
    expect_same(on_cpu->detect(images, nullptr), on_cuda->detect(to_device(images, kCuda), nullptr), 2e-4);
  }
}

TEST(ModelOnCuda, Bf16PlanIsNearTheF32Plan) {
  const Twins models;
  const Tensor images = test::random_normal({1, 64, 64, 3}, 1);
  const Detection expected = make_fast_detector(models.cpu, Precision::f32)->detect(images, nullptr);
  const Detection actual = make_fast_detector(models.cuda, Precision::bf16)->detect(to_device(images, kCuda), nullptr);
  // A mask bit that flips changes what a query attends to: single queries may differ, not the whole.
  EXPECT_LE(difference(expected.class_logits, actual.class_logits), 0.3);
  EXPECT_LE(difference(expected.object, actual.object), 0.3);
}

ClipDetection detect_clip(ClipDetector& detector, const Tensor& images) {
  return detector.detect(detector.features(to_device(images, detector.device())), nullptr);
}

void expect_same(const ClipDetection& expected, const ClipDetection& actual, double tolerance) {
  EXPECT_EQ(actual.class_logits.device(), kCuda);
  EXPECT_EQ(actual.mask_logits.size(), expected.mask_logits.size());
  EXPECT_LE(difference(expected.class_logits, actual.class_logits), tolerance);
  EXPECT_LE(difference(expected.mask_logits, actual.mask_logits), tolerance);
  EXPECT_LE(difference(expected.decoder, actual.decoder), tolerance);
}

/// Lowers the masks of all queries on these images by the bias of the mask features, against the mean of the mask
/// embeddings. Returns how many rows of attention masks then have nothing to see in the whole clip.
std::int64_t lower_masks(const Twins& models, const Tensor& images, double by) {
  const auto detector = make_plain_clip_detector(models.cpu);
  DecoderOutput trace;
  static_cast<void>(detector->detect(detector->features(images), &trace));
  const auto before = test::values_of(models.cpu.pixel_decoder().mask_features().bias);
  std::vector<double> mean(before.size(), 0.0);
  double length = 0;
  for (const HeadOutput& head : trace.heads) {
    const auto values = test::values_of(head.mask_embedding);
    for (std::size_t i = 0; i < values.size(); ++i) mean[i % mean.size()] += values[i];
  }
  const auto rows = static_cast<double>(std::ssize(trace.heads) * models.cpu.config().detector.num_queries);
  for (const double m : mean) length += m * m;
  for (const Model* model : {&models.cpu, &models.cuda})
    write_from_host(model->pixel_decoder().mask_features().bias, [&](const Tensor& host) {
      for (std::size_t c = 0; c < mean.size(); ++c)
        host.data<float>()[c] = static_cast<float>(before[c] - by * rows * mean[c] / length);
    });
  static_cast<void>(detector->detect(detector->features(images), &trace));
  std::int64_t blind = 0;
  for (const HeadOutput& head : trace.heads) {
    if (!head.blocked) continue;
    const std::int64_t keys = head.blocked.size(2);
    for (std::int64_t row = 0; row < head.blocked.size(1); ++row) {
      const auto* const blocked = head.blocked.data<std::uint8_t>() + row * keys;
      blind += std::all_of(blocked, blocked + keys, [](std::uint8_t b) { return b != 0; }) ? 1 : 0;
    }
  }
  return blind;
}

TEST(ClipsOnCuda, BothPlansEqualTheCpu) {
  const Twins models(Mode::offline);
  const auto plain_on_cpu = make_plain_clip_detector(models.cpu), plain_on_cuda = make_plain_clip_detector(models.cuda);
  const auto on_cpu = make_fast_clip_detector(models.cpu, Precision::f32),
             on_cuda = make_fast_clip_detector(models.cuda, Precision::f32);
  for (const Dims& size : {Dims{3, 64, 96, 3}, Dims{1, 64, 96, 3}, Dims{2, 96, 32, 3}}) {
    SCOPED_TRACE(testing::Message() << size);
    const Tensor images = test::random_normal(size, 1);
    expect_same(detect_clip(*plain_on_cpu, images), detect_clip(*plain_on_cuda, images), 2e-4);
    expect_same(detect_clip(*on_cpu, images), detect_clip(*on_cuda, images), 2e-4);
  }
}

TEST(ClipsOnCuda, QueriesThatSeeNothingInAClipSeeAllOfIt) {
  const Twins models(Mode::offline);
  const Tensor images = test::random_normal({3, 64, 96, 3}, 1);
  const std::int64_t blind = lower_masks(models, images, 2);
  EXPECT_GT(blind, 0);
  EXPECT_LT(blind, 4 * 7);
  const auto on_cpu = make_fast_clip_detector(models.cpu, Precision::f32),
             on_cuda = make_fast_clip_detector(models.cuda, Precision::f32);
  expect_same(detect_clip(*on_cpu, images), detect_clip(*on_cuda, images), 2e-4);
}

TEST(ClipsOnCuda, Bf16PlanIsNearTheF32Plan) {
  const Twins models(Mode::offline);
  const Tensor images = test::random_normal({2, 64, 64, 3}, 1);
  const auto exact = make_fast_clip_detector(models.cpu, Precision::f32),
             rounded = make_fast_clip_detector(models.cuda, Precision::bf16);
  expect_same(detect_clip(*exact, images), detect_clip(*rounded, images), 0.3);
}

media::Image drawn_frame(media::Size size, std::int64_t t) {
  const pseudo::PseudoOptions clip{.size = size, .frames = 8, .curve_frames = 24};
  return pseudo::PseudoVideo(clip, 0, pseudo::ProceduralObjects(), pseudo::ProceduralBackgrounds()).render(t).image;
}

pipeline::PipelineOptions small_frames() {
  pipeline::PipelineOptions options;
  options.shortest_edge = 64;
  options.assembly.min_score = 0;
  return options;
}

void expect_same(const pipeline::TrackedFrame& expected, const pipeline::TrackedFrame& actual) {
  SCOPED_TRACE("frame " + expected.frame.name);
  EXPECT_EQ(expected.frame.name, actual.frame.name);
  const auto &wanted = expected.result.objects, &given = actual.result.objects;
  ASSERT_EQ(wanted.size(), given.size());
  for (std::size_t k = 0; k < wanted.size(); ++k) {
    EXPECT_EQ(wanted[k].track, given[k].track);
    EXPECT_EQ(wanted[k].label, given[k].label);
    EXPECT_NEAR(wanted[k].score, given[k].score, 1e-4);
    EXPECT_EQ(wanted[k].mask, given[k].mask);
  }
}

// From the third window on the host neither waits for the device, but for results, nor asks it for memory.
TEST(VideoOnCuda, TracksAreThoseOfTheCpuWithoutAStall) {
  const Twins models;
  for (const int window : {1, 2}) {
    for (const int in_flight : {1, 2}) {
      SCOPED_TRACE(testing::Message() << "window " << window << ", in flight " << in_flight);
      pipeline::PipelineOptions options = small_frames();
      pipeline::VideoPipeline on_cpu(models.cpu, options);
      options.window = window;
      options.in_flight = in_flight;
      pipeline::VideoPipeline on_cuda(models.cuda, options);
      std::vector<pipeline::TrackedFrame> expected, actual;
      const auto keep = [](std::vector<pipeline::TrackedFrame>& all, std::vector<pipeline::TrackedFrame> more) {
        std::ranges::move(more, std::back_inserter(all));
      };
      for (std::int64_t t = 0; t < 7; ++t) {
        const media::Frame frame{.image = drawn_frame({96, 64}, t), .name = std::to_string(t), .index = t};
        keep(expected, on_cpu.feed(frame));
        std::optional<cuda::NoStallScope> steady;
        if (t >= 3 * window) steady.emplace("a frame of a video");
        keep(actual, on_cuda.feed(frame));
        EXPECT_EQ(std::ssize(actual), std::max<std::int64_t>(0, (t + 1) / window - in_flight + 1) * window);
      }
      EXPECT_GT(on_cuda.graph_nodes(), 50u);
      keep(actual, on_cuda.flush());
      ASSERT_EQ(expected.size(), actual.size());
      for (std::size_t t = 0; t < expected.size(); ++t) expect_same(expected[t], actual[t]);
    }
  }
}

TEST(VideoOnCuda, ChunksGiveTheTracksOfTheCpu) {
  const Twins models(Mode::offline);
  pipeline::PipelineOptions options = small_frames();
  options.chunk = 4;
  options.overlap = 2;
  pipeline::VideoPipeline on_cpu(models.cpu, options), on_cuda(models.cuda, options);
  std::size_t compared = 0;
  const auto compare = [&](const auto& expected, const auto& actual) {
    ASSERT_EQ(expected.size(), actual.size());
    for (std::size_t i = 0; i < expected.size(); ++i, ++compared) expect_same(expected[i], actual[i]);
  };
  for (std::int64_t t = 0; t < 7; ++t) {
    const media::Frame frame{.image = drawn_frame({96, 64}, t), .name = std::to_string(t), .index = t};
    compare(on_cpu.feed(frame), on_cuda.feed(frame));
  }
  compare(on_cpu.flush(), on_cuda.flush());
  EXPECT_EQ(compared, 7u);
}

// Trackers on the host read tensors that the next window overwrites.
TEST(VideoOnCuda, TrackersOnTheHostSeeTheFrameThatTheyTrack) {
  const Twins models;
  for (const TrackerKind kind : {TrackerKind::minvis, TrackerKind::idol, TrackerKind::ctvis, TrackerKind::qdtrack}) {
    SCOPED_TRACE(static_cast<int>(kind));
    pipeline::PipelineOptions options = small_frames();
    options.tracking.tracker = kind;
    // Test weights are sure of nothing, and all their masks are alike.
    options.tracking.idol.nms_iou = options.tracking.ctvis.nms_iou = options.tracking.qdtrack.nms_iou = 1;
    options.tracking.qdtrack.birth_score = options.tracking.qdtrack.keep_score = 0;
    pipeline::VideoPipeline on_cpu(models.cpu, options);
    options.in_flight = 2;
    pipeline::VideoPipeline on_cuda(models.cuda, options);
    std::size_t objects = 0;
    for (std::int64_t t = 0; t < 4; ++t) {
      const media::Frame frame{.image = drawn_frame({96, 64}, t), .name = std::to_string(t), .index = t};
      const auto expected = on_cpu.feed(frame), actual = on_cuda.feed(frame);
      ASSERT_EQ(actual.size(), 1u) << "no frame waits for the next";
      expect_same(expected.front(), actual.front());
      objects += actual.front().result.objects.size();
    }
    EXPECT_GT(objects, 4u);
  }
}

/// What is known about the frames of a video on the host, fed through a detector that is used for others as well.
std::vector<std::vector<double>> logits_of(pipeline::FrameDetector& frames, media::Size size) {
  std::vector<std::vector<double>> logits;
  const pipeline::FrameVisitor see = [&](const media::Frame&, const pipeline::QueryFrame& queries) {
    logits.push_back(test::values_of(queries.host_logits));
  };
  for (std::int64_t t = 0; t < 3; ++t) frames.feed({.image = drawn_frame(size, t), .name = "", .index = t}, see);
  frames.flush(see);
  return logits;
}

// A plan forgets its tables at one size too many, and graphs read them.
TEST(VideoOnCuda, VideosOfMoreSizesThanAPlanKeeps) {
  const Twins models;
  const auto on_cpu = make_fast_detector(models.cpu, Precision::f32);
  const auto on_cuda = make_fast_detector(models.cuda, Precision::f32);
  const pipeline::DetectionOptions options{.shortest_edge = 32};
  pipeline::FrameDetector frames_on_cuda(*on_cuda, options);
  const auto compare = [&](media::Size size) {
    SCOPED_TRACE(testing::Message() << size.width << " x " << size.height);
    pipeline::FrameDetector frames_on_cpu(*on_cpu, options);
    const auto expected = logits_of(frames_on_cpu, size), actual = logits_of(frames_on_cuda, size);
    ASSERT_EQ(expected.size(), actual.size());
    for (std::size_t t = 0; t < expected.size(); ++t)
      for (std::size_t k = 0; k < expected[t].size(); ++k) ASSERT_NEAR(expected[t][k], actual[t][k], 1e-3);
  };
  compare({64, 32});
  compare({96, 32});
  for (int i = 1; i <= static_cast<int>(kMostPlannedSizes) + 2; ++i)  // without the knowledge of frames_on_cuda
    static_cast<void>(on_cuda->detect(Tensor::zeros({1, 32, 32 * i, 3}, DType::f32, kCuda), nullptr));
  compare({64, 32});
  compare({96, 32});
  compare({64, 32});
}

/// What the R50 network makes of a frame on a GPU: every node of its graph costs some microseconds, whatever it does.
/// Few queries and a small image keep the test short and change no node but those of splits.
std::size_t nodes_of_a_frame(const Model& model, Precision precision) {
  const auto detector = make_fast_detector(model, precision);
  const Tensor image = to_device(test::random_normal({1, 32, 32, 3}, 1), kCuda);
  Detection detection = detector->detect(image, nullptr);  // sets up libraries, tables and rounded weights
  detection = {};
  return Replay(kCuda, [&] { detection = detector->detect(image, nullptr); }).node_count();
}

TEST(ModelOnCuda, AFrameOfTheR50NetworkIsFewKernels) {
  ModelConfig config;
  config.detector.num_queries = 9;
  Model model(config, kCuda);
  nn::fill_test_weights(model.params(), "nodes");
  EXPECT_LE(nodes_of_a_frame(model, Precision::f32), 183u);
  EXPECT_LE(nodes_of_a_frame(model, Precision::bf16), 190u);
}

/// One clip of two frames with two objects, one of which is missing in the second.
std::vector<FrameTargets> two_objects() {
  std::vector<FrameTargets> frames(2);
  for (std::size_t t = 0; t < frames.size(); ++t) {
    frames[t].labels = {0, t == 0 ? 2 : 3};
    frames[t].ids = {10, t == 0 ? 11 : -1};
    frames[t].masks = Tensor::zeros({2, 64, 64}, DType::u8);
    auto* const mask = frames[t].masks.data<std::uint8_t>();
    for (int y = 10; y < 40; ++y)
      for (int x = 8; x < 30; ++x) mask[y * 64 + x + 4 * static_cast<int>(t)] = 1;
    for (int y = 35; y < 60 && t == 0; ++y)
      for (int x = 40; x < 60; ++x) mask[(64 + y) * 64 + x] = 1;
  }
  return frames;
}

UniformSource points(Device device) {
  return [device, call = 0](const Dims& size, const PointDraw&) mutable {
    return nn::HashStream("points/" + std::to_string(call++)).uniform(size, device);
  };
}

/// Losses, gradients by name and parameters after the step, all on the host.
struct Step {
  std::vector<double> losses;
  std::vector<std::pair<std::string, Tensor>> gradients, parameters;
  double norm = 0;
};

TrainingObjective objective_of(const Model& model) {
  TrainingLossConfig config;
  config.masks.num_points = 60;
  return {model, config};
}

Step train_step(Model& model, const Tensor& images, const std::vector<FrameTargets>& targets) {
  Step step;
  const Device device = model.device();
  autograd::Tape tape;
  const bool of_clips = model.config().detector.mode == Mode::offline;
  const BatchTargets batch(of_clips ? clip_targets(targets, 2) : targets, device);
  const TrainingLosses losses = objective_of(model)(to_device(images, device), batch, 2, points(device));
  for (const LossTerm& term : losses.terms) step.losses.push_back(item(autograd::detach(term.value)));
  tape.backward(losses.total);
  std::vector<Tensor> gradients;
  std::vector<ops::AdamWTensor> updates;
  for (const nn::Entry& entry : model.params().entries()) {
    if (entry.kind != nn::Kind::parameter) continue;
    const Tensor gradient = autograd::grad(entry.value);
    if (!gradient) continue;
    gradients.push_back(gradient);
    step.gradients.emplace_back(entry.name, to_device(gradient, {}));
    const auto zeros = [&] { return Tensor::zeros(gradient.size(), DType::f32, gradient.device()); };
    updates.push_back({entry.value, gradient, zeros(), zeros(), 1e-3, 0.05});
  }
  step.norm = ops::global_norm(gradients);
  ops::adamw_step(updates, {.step = 1, .gradient_scale = ops::clip_coefficient(step.norm, 0.01)});
  for (const nn::Entry& entry : model.params().entries())
    step.parameters.emplace_back(entry.name, to_device(entry.value, {}));
  return step;
}

void expect_equal_steps(const std::vector<FrameTargets>& targets, Mode mode = Mode::online) {
  Twins models(mode);
  const Tensor images = test::random_normal({std::ssize(targets), 64, 64, 3}, 3);
  const Step expected = train_step(models.cpu, images, targets), actual = train_step(models.cuda, images, targets);
  ASSERT_EQ(expected.losses.size(), actual.losses.size());
  for (std::size_t i = 0; i < expected.losses.size(); ++i)
    EXPECT_NEAR(expected.losses[i], actual.losses[i], 2e-4 * (1 + std::abs(expected.losses[i]))) << "term " << i;
  EXPECT_NEAR(expected.norm, actual.norm, 1e-3 * expected.norm);
  ASSERT_EQ(expected.gradients.size(), actual.gradients.size());
  for (std::size_t i = 0; i < expected.gradients.size(); ++i) {
    const auto& [name, gradient] = expected.gradients[i];
    EXPECT_EQ(name, actual.gradients[i].first);
    // A bias before a group norm whose groups are single channels has no gradient but rounding.
    EXPECT_LE(difference(gradient, actual.gradients[i].second, 1e-4 * expected.norm), 5e-3) << name;
  }
  for (std::size_t i = 0; i < expected.parameters.size(); ++i)
    EXPECT_LE(difference(expected.parameters[i].second, actual.parameters[i].second), 5e-3)
        << expected.parameters[i].first;
}

TEST(ModelOnCuda, TrainingStepEqualsTheCpu) { expect_equal_steps(two_objects()); }

TEST(ClipsOnCuda, TrainingStepEqualsTheCpu) {
  std::vector<FrameTargets> frames = two_objects();  // of one clip, and of a second
  std::ranges::copy(two_objects(), std::back_inserter(frames));
  expect_equal_steps(frames, Mode::offline);
}

TEST(ClipsOnCuda, TrainingStepWithoutObjectsEqualsTheCpu) {
  std::vector<FrameTargets> frames = two_objects();
  for (FrameTargets& frame : frames) {
    frame.ids = {-1, -1};
    frame.masks = Tensor::zeros({2, 64, 64}, DType::u8);
  }
  expect_equal_steps(frames, Mode::offline);
}

TEST(ModelOnCuda, TrainingStepWithMoreInstancesThanQueriesEqualsTheCpu) {
  std::vector<FrameTargets> frames = two_objects();
  for (FrameTargets& frame : frames) {
    frame.masks = Tensor::zeros({9, 64, 64}, DType::u8);  // 7 queries
    frame.labels.clear();
    frame.ids.clear();
    for (int i = 0; i < 9; ++i) {
      frame.labels.push_back(i % 3);
      frame.ids.push_back(i);
      std::fill_n(frame.masks.data<std::uint8_t>() + i * 64 * 64 + 400 * i, 700, std::uint8_t{1});
    }
  }
  expect_equal_steps(frames);
}

// The first step leaves gradients in memory that the second one looks for; the third finds all it needs.
TEST(SteadyTraining, NeitherWaitsNorAllocatesFromImagesToGradients) {
  if (std::string_view(std::getenv("VISAGE_CUDA_CACHE")) == "0") GTEST_SKIP() << "run with VISAGE_CUDA_CACHE=1";
  Model model(tiny(), kCuda);
  nn::fill_test_weights(model.params(), "twins");
  const TrainingObjective objective = objective_of(model);
  const Tensor images = to_device(test::random_normal({2, 64, 64, 3}, 3), kCuda);
  for (int step = 0; step < 3; ++step) {
    const BatchTargets targets(two_objects(), kCuda);
    autograd::Tape tape;
    const auto run = [&] {
      const TrainingLosses losses = objective(images, targets, 2, points(kCuda));
      tape.backward(losses.total);
      return autograd::detach(losses.total);
    };
    if (step < 2) {
      EXPECT_TRUE(std::isfinite(item(run())));
      continue;
    }
    const cuda::NoStallScope scope("train");
    EXPECT_NO_THROW(static_cast<void>(run()));
  }
}

// The host does not see costs that are not finite, but the loss does.
TEST(ModelOnCuda, ACostThatIsNotFiniteMakesTheLossNaN) {
  Twins models;
  for (Model* const model : {&models.cpu, &models.cuda}) {
    const Device device = model->device();
    for (const nn::Entry& entry : model->params().entries())
      if (entry.name.ends_with("mask_embed.layers.2.bias"))
        write_from_host(entry.value, [&](const Tensor& bias) {
          std::fill_n(bias.data<float>(), bias.numel(), 0.f);
          bias.data<float>()[3] = NAN;
        });
    const BatchTargets targets(two_objects(), device);
    const auto run = [&] {
      return objective_of(*model)(to_device(test::random_normal({2, 64, 64, 3}, 3), device), targets, 2,
                                  points(device));
    };
    if (device == kCuda)
      EXPECT_TRUE(std::isnan(item(autograd::detach(run().total))));
    else
      EXPECT_THROW(static_cast<void>(run()), NonFiniteError);
  }
}

}  // namespace
}  // namespace visage
