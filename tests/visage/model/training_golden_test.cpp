// One training step of the official implementation: every loss term, matching, gradient norm and sampled gradient, and
// the parameters after clipping and one AdamW step.
#include "nn/init/test_weights.h"
#include "ops/elementwise/elementwise.h"
#include "ops/optim/adamw.h"
#include "ops/optim/gradient_norm.h"
#include "ops/shape/concatenate.h"
#include "ops/shape/views.h"
#include "tests/support/golden.h"
#include "tests/support/values.h"
#include "tests/visage/model/golden_clip.h"
#include "visage/media/image_file.h"
#include "visage/model/training_losses.h"
#include "visage/pipeline/preprocess.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

namespace visage {
namespace {

using test::GoldenFile;

struct Clips {
  Tensor images;
  std::vector<FrameTargets> targets;
  std::int64_t frames = 0;
};

// Clips of masks [instances, frames, H, W], classes [instances], ids [instances, frames].
void append_clip(Clips& clips, const Tensor& masks, const Tensor& classes, const Tensor& ids, AbsentLabels rule) {
  const std::int64_t instances = masks.size(0), frames = masks.size(1), area = masks.size(2) * masks.size(3);
  std::vector<FrameTargets> clip(frames);
  for (std::int64_t t = 0; t < frames; ++t) {
    clip[t].masks = Tensor::empty({instances, masks.size(2), masks.size(3)}, DType::u8);
    for (std::int64_t i = 0; i < instances; ++i) {
      clip[t].labels.push_back(classes.data<std::int64_t>()[i]);
      clip[t].ids.push_back(ids.data<std::int64_t>()[i * frames + t]);
      std::copy_n(masks.data<std::uint8_t>() + (i * frames + t) * area, area,
                  clip[t].masks.data<std::uint8_t>() + i * area);
    }
  }
  mark_absent(clip, 40, rule, Mode::online);
  clips.frames = frames;
  clips.targets.insert(clips.targets.end(), clip.begin(), clip.end());
}

Tensor read_frames(const std::vector<std::string>& files) {
  std::vector<media::Image> images;
  for (const std::string& file : files) images.push_back(media::read_image(test::golden_dir() + "/" + file));
  return pipeline::network_input(images);
}

Clips one_clip(AbsentLabels rule) {
  const GoldenFile golden("train.safetensors");
  Clips clips;
  append_clip(clips, golden.load("gt/masks"), golden.load("gt/classes"), golden.load("gt/ids"), rule);
  clips.images = read_frames({"train/frame_00.ppm", "train/frame_01.ppm"});
  return clips;
}

Tensor unpack(const Tensor& bits, const Tensor& shape) {
  const std::int64_t* s = shape.data<std::int64_t>();
  Tensor masks = Tensor::empty({s[0], s[1], s[2], s[3]}, DType::u8);
  for (std::int64_t i = 0; i < masks.numel(); ++i)
    masks.data<std::uint8_t>()[i] = bits.data<std::uint8_t>()[i / 8] >> (7 - i % 8) & 1;
  return masks;
}

Clips two_clips() {
  const GoldenFile golden("train_b2t3.safetensors");
  Clips clips;
  std::vector<std::string> files;
  for (int v = 0; v < 2; ++v) {
    const std::string video = "gt/video" + std::to_string(v) + "/";
    append_clip(clips, unpack(golden.load(video + "masks"), golden.load(video + "masks_shape")),
                golden.load(video + "classes"), golden.load(video + "ids"), AbsentLabels::release);
    for (int t = 0; t < 3; ++t)
      files.push_back("train_b2t3/video" + std::to_string(v) + "_frame_0" + std::to_string(t) + ".ppm");
  }
  clips.images = read_frames(files);
  return clips;
}

// Draw n of the recorded generator: the stream "<seed>/rand/<n>".
UniformSource recorded_source() {
  return [call = 0](const Dims& shape, const PointDraw& draw) mutable {
    const auto next = [&](const Dims& size) {
      return nn::HashStream(test::golden_seed() + "/rand/" + std::to_string(call++)).uniform(size);
    };
    if (draw.use != PointDraw::Use::matching) return next(shape);
    std::vector<Tensor> frames;  // each with a call of its own
    for (std::int64_t n = 0; n < shape[0]; ++n) frames.push_back(next({1, shape[1], shape[2]}));
    return ops::concatenate(frames, 0);
  };
}

TrainingLosses losses_of(const Model& model, const Clips& clips, int points) {
  TrainingLossConfig config;
  config.masks.num_points = points;
  const TrainingObjective objective(model, config);
  return objective(clips.images, BatchTargets(clips.targets, {}), clips.frames, recorded_source());
}

std::string layer_name(std::size_t index) { return index == 0 ? "final" : "aux" + std::to_string(index - 1); }

// A mask bit or one of the uncertain points may round the other way: the loss then moves by more than its own rounding.
double loss_slack(const Tensor& loss) { return 1e-4 * (1 + std::abs(*loss.data<float>())); }

void expect_losses(const GoldenFile& golden, const std::string& prefix, const TrainingLosses& losses) {
  for (const LossTerm& term : losses.terms) {
    if (prefix == "fixed/" && !golden.contains(prefix + "loss/" + term.name)) continue;
    const Tensor weighted = ops::mul_scalar(autograd::detach(term.value), static_cast<float>(term.weight));
    EXPECT_TRUE(golden.matches(prefix + "loss/" + term.name, weighted, loss_slack(weighted))) << term.name;
  }
  EXPECT_TRUE(golden.matches(prefix + "loss/total", autograd::detach(losses.total), loss_slack(losses.total)));
}

void expect_matches(const GoldenFile& golden, const std::string& prefix, const Clips& clips,
                    const CriterionOutput& criterion) {
  for (std::size_t layer = 0; layer < criterion.matches.size(); ++layer) {
    const ops::MatchedRows& matches = criterion.matches[layer];
    const std::int64_t queries = matches.classes.size(1);
    const auto* found = matches.query_of_instance.data<std::int64_t>();
    for (std::size_t t = 0; t < clips.targets.size(); ++t) {
      const std::string name = prefix + "match/" + layer_name(layer) + "/frame" + std::to_string(t);
      const Tensor want = golden.load(name);
      ASSERT_EQ(clips.targets[t].count(), want.numel()) << name;
      for (std::int64_t i = 0; i < want.numel(); ++i)
        EXPECT_EQ(*found++ - static_cast<std::int64_t>(t) * queries, want.data<std::int64_t>()[i]) << name;
    }
  }
}

struct ParameterRule {
  double lr, weight_decay;
};

std::map<std::string, ParameterRule> parameter_rules() {
  std::ifstream list(test::golden_dir() + "/train_params.tsv");
  std::string line, name;
  std::map<std::string, ParameterRule> rules;
  std::getline(list, line);
  while (std::getline(list, line)) {
    std::istringstream columns(line);
    std::int64_t numel = 0;
    ParameterRule rule{};
    columns >> name >> numel >> rule.lr >> rule.weight_decay;
    rules[name] = rule;
  }
  return rules;
}

// A gradient or parameter in the order of the checkpoint file.
Tensor in_file_order(const nn::Entry& entry, const Tensor& value) {
  return entry.layout == nn::FileLayout::oihw ? ops::permute(value, {0, 3, 1, 2}) : value;
}

// Recorded elements against ours.
struct Differences {
  double rms = 0, largest = 0, recorded_rms = 0;
  std::size_t count = 0, above_rounding = 0;
};

Differences differences(const test::GoldenTensor& want, const Tensor& got) {
  const std::vector<double> recorded = test::values_of(want.values), all = test::values_of(got);
  Differences d;
  d.count = recorded.size();
  for (std::size_t i = 0; i < recorded.size(); ++i) {
    const double difference = std::abs(all[i * static_cast<std::size_t>(want.step)] - recorded[i]);
    d.rms += difference * difference;
    d.recorded_rms += recorded[i] * recorded[i];
    d.largest = std::max(d.largest, difference);
    d.above_rounding += difference > 20 * want.f32_error + 3e-6;
  }
  d.rms = std::sqrt(d.rms / static_cast<double>(d.count));
  d.recorded_rms = std::sqrt(d.recorded_rms / static_cast<double>(d.count));
  return d;
}

class TrainingStepGolden : public testing::Test {
 protected:
  TrainingStepGolden() : model(ModelConfig{}) { nn::fill_test_weights(model.params(), test::golden_seed()); }
  Model model;
};

TEST_F(TrainingStepGolden, LossesGradientsAndUpdate) {
  const GoldenFile golden("train.safetensors");
  const Clips clips = one_clip(AbsentLabels::release);
  {
    autograd::Tape tape;
    const TrainingLosses losses = losses_of(model, clips, 1024);
    expect_losses(golden, "", losses);
    expect_matches(golden, "", clips, losses.criterion);
    for (std::size_t layer = 0; layer < losses.criterion.costs.size(); ++layer) {
      for (std::int64_t t = 0; t < clips.frames; ++t) {
        const std::string name = "cost/" + layer_name(layer) + "/frame" + std::to_string(t);
        if (!golden.contains(name)) continue;
        EXPECT_TRUE(golden.matches(name, ops::select(losses.criterion.costs[layer], t), 1e-4));
      }
    }
    tape.backward(losses.total);
  }

  const std::map<std::string, ParameterRule> rules = parameter_rules();
  std::vector<ops::AdamWTensor> updates;
  std::vector<Tensor> gradients;
  for (const nn::Entry& entry : model.params().entries()) {
    if (entry.kind != nn::Kind::parameter) continue;
    const Tensor gradient = autograd::grad(entry.value);
    ASSERT_TRUE(gradient) << entry.name << " has no gradient";
    gradients.push_back(gradient);
    const double norm = ops::global_norm(std::vector<Tensor>{gradient});
    const double want = test::values_of(golden.at("gradnorm/" + entry.name).values)[0];
    EXPECT_NEAR(norm, want, 2e-3 * want + 1e-6) << entry.name;
    const Differences off = differences(golden.at("grad/" + entry.name), in_file_order(entry, gradient));
    const double spread = want / std::sqrt(static_cast<double>(gradient.numel()));  // rms of the whole gradient
    EXPECT_LE(off.rms, 0.01 * std::max({off.recorded_rms, spread, 1e-5})) << entry.name;
    const ParameterRule& rule = rules.at(entry.name);
    updates.push_back({entry.value, gradient, Tensor::zeros(entry.value.size()), Tensor::zeros(entry.value.size()),
                       rule.lr, rule.weight_decay});
  }
  EXPECT_EQ(updates.size(), 369u);

  const double norm = ops::global_norm(gradients);
  const double want = test::values_of(golden.at("grad_total_norm").values)[0];
  EXPECT_NEAR(norm, want, 1e-4 * want);
  ops::adamw_step(updates, {.step = 1, .gradient_scale = ops::clip_coefficient(norm, 0.01)});
  // The first step is lr * sign(g) wherever g is large; where g is rounding noise, so is the sign.
  std::size_t compared = 0, noisy = 0;
  for (const nn::Entry& entry : model.params().entries()) {
    if (entry.kind != nn::Kind::parameter) continue;
    const Differences off =
        differences(golden.at("after/" + entry.name), in_file_order(entry, autograd::detach(entry.value)));
    EXPECT_LE(off.largest, 2.1 * rules.at(entry.name).lr) << entry.name;
    compared += off.count;
    noisy += off.above_rounding;
  }
  EXPECT_LE(noisy, compared / 100);
}

TEST_F(TrainingStepGolden, LabelsOnlyWhereTheInstanceIsAbsent) {
  const GoldenFile golden("train.safetensors");
  const Clips clips = one_clip(AbsentLabels::fixed);
  const Tensor labels = golden.load("fixed/target/labels");
  for (std::int64_t t = 0; t < 2; ++t)
    for (std::int64_t i = 0; i < 3; ++i) EXPECT_EQ(clips.targets[t].labels[i], labels.data<std::int64_t>()[t * 3 + i]);
  const TrainingLosses losses = losses_of(model, clips, 1024);
  expect_losses(golden, "fixed/", losses);
  expect_matches(golden, "fixed/", clips, losses.criterion);
}

TEST_F(TrainingStepGolden, TwoClipsOfThreeFrames) {
  const GoldenFile golden("train_b2t3.safetensors");
  const Clips clips = two_clips();
  for (std::size_t n = 0; n < clips.targets.size(); ++n) {
    const Tensor labels = golden.load("target/labels/frame" + std::to_string(n));
    for (std::int64_t i = 0; i < clips.targets[n].count(); ++i)
      EXPECT_EQ(clips.targets[n].labels[i], labels.data<std::int64_t>()[i]);
  }
  const TrainingLosses losses = losses_of(model, clips, 512);
  expect_losses(golden, "", losses);
  expect_matches(golden, "", clips, losses.criterion);
}

}  // namespace
}  // namespace visage
