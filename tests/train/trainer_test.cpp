#include "train/trainer.h"

#include "nn/init/test_weights.h"
#include "tensor/cpu/onednn.h"
#include "tests/support/files.h"
#include "tests/support/values.h"
#include "tests/train/small_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

namespace visage {
namespace {

using test::fresh_model;
using ::testing::HasSubstr;

Config tiny() {
  Config config = test::small_config(8, 64);
  config.train.steps = 100;
  config.train.num_points = 128;
  config.train.data.range = 3;
  config.train.data.video_frames = 8;
  return config;
}

void expect_equal_bits(const Model& a, const Model& b) {
  for (std::size_t i = 0; i < a.params().entries().size(); ++i) {
    const Tensor &x = a.params().entries()[i].value, &y = b.params().entries()[i].value;
    EXPECT_EQ(std::memcmp(x.data<float>(), y.data<float>(), x.nbytes()), 0) << a.params().entries()[i].name;
  }
}

TEST(Trainer, ResumedRunHasTheBitsOfOneThatNeverStopped) {
  Config config = tiny();
  config.train.accumulate = 2;
  config.train.ema_decay = 0.9;
  const test::TemporaryFolder folder;
  const std::string file = (folder.path() / "state.safetensors").string();
  const auto straight = fresh_model(config);
  train::Trainer whole(config, *straight);
  for (int i = 0; i < 6; ++i) (void)whole.step();

  const auto first = fresh_model(config);
  {
    train::Trainer half(config, *first);
    for (int i = 0; i < 3; ++i) (void)half.step();
    half.save(file);
    (void)half.step();  // lost, as after a kill
  }
  const auto second = fresh_model(config);
  train::Trainer rest(config, *second);
  rest.load(file);
  EXPECT_EQ(rest.steps_done(), 3);
  for (int i = 0; i < 3; ++i) (void)rest.step();
  expect_equal_bits(*straight, *second);
  const train::AveragedWeights a(whole), b(rest);
  expect_equal_bits(*straight, *second);
}

TEST(Trainer, AccumulatedBatchesGiveTheGradientsOfALargerOne) {
  Config config = tiny();
  const auto gradients_of = [&](int clips, int accumulate) {
    config.train.clips = clips;
    config.train.accumulate = accumulate;
    const auto model = fresh_model(config);
    train::Trainer trainer(config, *model);
    const train::StepReport report = trainer.step();
    std::vector<std::vector<double>> gradients;
    for (const nn::Entry& entry : model->params().entries()) {
      const Tensor gradient = autograd::grad(entry.value);
      gradients.push_back(gradient ? test::values_of(gradient) : std::vector<double>());
    }
    EXPECT_EQ(report.images, clips * accumulate * config.train.frames);
    return std::make_pair(gradients, report.total);
  };
  const auto [whole, whole_loss] = gradients_of(2, 1);
  const auto [parts, loss] = gradients_of(1, 2);
  EXPECT_NEAR(loss, whole_loss, 1e-5 * whole_loss);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    ASSERT_EQ(whole[i].size(), parts[i].size());
    double difference = 0, size = 0;
    for (std::size_t k = 0; k < whole[i].size(); ++k) {
      difference += std::pow(whole[i][k] - parts[i][k], 2);
      size += std::pow(whole[i][k], 2);
    }
    // A bias before a norm has no gradient but rounding.
    EXPECT_LE(std::sqrt(difference), 1e-5 * std::sqrt(size) + 1e-6) << i;
  }
}

TEST(Trainer, AveragedWeightsFollowAndGiveWay) {
  Config config = tiny();
  config.train.ema_decay = 0.5;
  const auto model = fresh_model(config);
  const Tensor& weight = model->params().entries().back().value;
  const auto values = [&] { return std::vector<float>(weight.data<float>(), weight.data<float>() + weight.numel()); };
  train::Trainer trainer(config, *model);
  std::vector<float> average = values();
  for (int step = 1; step <= 3; ++step) {
    (void)trainer.step();
    const auto decay = static_cast<float>(std::min(0.5, (1.0 + step) / (10.0 + step)));
    const std::vector<float> now = values();
    for (std::size_t i = 0; i < average.size(); ++i) average[i] += (1 - decay) * (now[i] - average[i]);
  }
  const std::vector<float> raw = values();
  {
    const train::AveragedWeights scope(trainer);
    for (std::size_t i = 0; i < average.size(); ++i) EXPECT_NEAR(values()[i], average[i], 1e-6);
    EXPECT_NE(values(), raw);
  }
  EXPECT_EQ(values(), raw);
}

TEST(Trainer, RefusesToStepOnWhatIsNoNumber) {
  const Config config = tiny();
  const auto model = fresh_model(config);
  train::Trainer trainer(config, *model);
  (void)trainer.step();
  // A class bias that is NaN makes the cost of every match NaN.
  const auto values = [&] { return test::values_of(model->params().entries()[0].value); };
  const auto before = values();
  model->params().find("sem_seg_head.predictor.class_embed.bias")->value.data<float>()[0] = NAN;
  try {
    (void)trainer.step();
    FAIL() << "a step was made";
  } catch (const train::NonFiniteStep& error) {
    EXPECT_EQ(error.report.step, 1);
    EXPECT_EQ(std::ssize(error.clips), config.train.clips);
    EXPECT_THAT(error.what(), HasSubstr("step 2: "));
    EXPECT_THAT(error.what(), HasSubstr(error.clips.front()));
  }
  EXPECT_EQ(trainer.steps_done(), 1);
  EXPECT_EQ(values(), before);
}

// All queries are zero after every layer, so the last norm of the predictions gives its shift whatever its scale: the
// losses are finite, the gradients of what comes before are not.
TEST(Trainer, AGradientThatIsNotFiniteChangesNothing) {
  Config config = tiny();
  config.train.ema_decay = 0.9;
  const auto model = fresh_model(config);
  train::Trainer trainer(config, *model);
  (void)trainer.step();
  for (const nn::Entry& entry : model->params().entries()) {
    const bool zero = entry.name.find("query_feat") != std::string::npos ||
                      entry.name.find("transformer_ffn_layers") != std::string::npos;
    const bool scale = entry.name.ends_with("decoder_norm.weight");
    if (zero || scale) std::fill_n(entry.value.data<float>(), entry.value.numel(), zero ? 0.f : 3e38f);
  }
  const auto weights = [&] {
    std::vector<std::vector<double>> values;
    for (const nn::Entry& entry : model->params().entries()) values.push_back(test::values_of(entry.value));
    return values;
  };
  const auto averages = [&] {
    const train::AveragedWeights scope(trainer);
    return weights();
  };
  const auto weights_before = weights(), averages_before = averages();
  try {
    (void)trainer.step();
    FAIL() << "a step was made";
  } catch (const train::NonFiniteStep& error) {
    EXPECT_THAT(error.what(), testing::ContainsRegex("step 2: the gradient of [a-z_.]+[0-9a-z_.]* is not finite"));
    EXPECT_FALSE(std::isfinite(error.report.gradient_norm));
    EXPECT_TRUE(std::isfinite(error.report.total));
  }
  EXPECT_EQ(trainer.steps_done(), 1);
  EXPECT_EQ(weights(), weights_before);
  EXPECT_EQ(averages(), averages_before);
}

// Inference keeps packed and derived weights; a step must not leave it with old ones.
TEST(Trainer, InferenceSeesTheNewWeights) {
  const Config config = tiny();
  const auto model = fresh_model(config);
  train::Trainer trainer(config, *model);
  const Tensor images = test::random_normal({1, 64, 96, 3}, 1);
  const auto logits = [&](const Model& of) {
    return test::values_of(make_fast_detector(of, Precision::f32)->detect(images, nullptr).class_logits);
  };
  const auto before = logits(*model);
  for (int i = 0; i < 2; ++i) (void)trainer.step();
  const auto copy = fresh_model(config);
  for (std::size_t i = 0; i < copy->params().entries().size(); ++i) {
    const Tensor& to = copy->params().entries()[i].value;
    std::memcpy(to.data<float>(), model->params().entries()[i].value.data<float>(), to.nbytes());
  }
  const auto after = logits(*model);
  EXPECT_NE(after, before);
  EXPECT_EQ(after, logits(*copy));
}

TEST(Trainer, EveryParameterLearns) {
  Config config = tiny();
  config.train.backbone_norm = BackboneNorm::trained;
  const auto model = fresh_model(config);
  train::Trainer trainer(config, *model);
  for (int i = 0; i < 2; ++i) (void)trainer.step();
  for (const nn::Entry& entry : model->params().entries()) {
    const bool norm_map = entry.name.ends_with(".norm.weight") || entry.name.ends_with(".norm.bias");
    if (entry.kind != nn::Kind::parameter && !norm_map) continue;
    const Tensor gradient = autograd::grad(entry.value);
    ASSERT_TRUE(gradient) << entry.name;
    double size = 0;
    for (std::int64_t i = 0; i < gradient.numel(); ++i) size += std::abs(gradient.data<float>()[i]);
    EXPECT_TRUE(std::isfinite(size) && size > 0) << entry.name;
  }
}

TEST(Trainer, LeavesFrozenNormsAlone) {
  const auto frozen = [](const nn::Entry& entry) { return entry.role == nn::Role::statistic; };
  const auto model = fresh_model(tiny()), before = fresh_model(tiny());
  train::Trainer trainer(tiny(), *model);
  (void)trainer.step();
  for (std::size_t i = 0; i < model->params().entries().size(); ++i) {
    const nn::Entry& entry = model->params().entries()[i];
    if (frozen(entry)) {
      EXPECT_EQ(test::values_of(entry.value), test::values_of(before->params().entries()[i].value));
    }
  }
}

TEST(Trainer, FreezesWhatItIsTold) {
  Config config = tiny();
  config.train.freeze = {"backbone.", "sem_seg_head."};
  const auto model = fresh_model(config), before = fresh_model(config);
  train::Trainer trainer(config, *model);
  (void)trainer.step();
  for (std::size_t i = 0; i < model->params().entries().size(); ++i) {
    const nn::Entry& entry = model->params().entries()[i];
    if (entry.kind != nn::Kind::parameter) continue;
    const bool frozen = entry.name.starts_with("backbone.") || entry.name.starts_with("sem_seg_head.");
    EXPECT_EQ(frozen, test::values_of(entry.value) == test::values_of(before->params().entries()[i].value))
        << entry.name;
  }
  config.train.freeze = {"backbon."};
  EXPECT_THROW(train::Trainer(config, *model), UsageError);
  config.train.freeze = {"backbone.", "sem_seg_head.", "appearance_decoder."};
  EXPECT_THROW(train::Trainer(config, *model), UsageError);
}

// A deep network with random weights and norms that change nothing doubles its activations from block to block.
TEST(Trainer, CalibratedBackboneBeginsWithUnitActivations) {
  const Config config = tiny();
  const auto model = fresh_model(config);
  Tensor images = Tensor::empty({2, 64, 96, 3});
  const nn::HashStream noise("images");
  for (std::int64_t i = 0; i < images.numel(); ++i) images.data<float>()[i] = 3 * noise.symmetric(i);
  const auto mean_square = [](const Tensor& x) {
    double sum = 0;
    for (std::int64_t i = 0; i < x.numel(); ++i) sum += std::pow(x.data<float>()[i], 2);
    return sum / static_cast<double>(x.numel());
  };
  const double before = mean_square(model->backbone()(images)[3]);
  train::Trainer trainer(config, *model);
  trainer.calibrate_backbone();
  model->backbone().calibrate(images);
  for (const Tensor& map : model->backbone()(images)) {
    EXPECT_GT(mean_square(map), 0.5);
    EXPECT_LT(mean_square(map), 8);
  }
  EXPECT_GT(before, 20);
  const Tensor stem = model->backbone().stem()(images, Activation::none);
  EXPECT_NEAR(mean_square(stem), 1, 1e-2);
}

TEST(Trainer, LossFalls) {
  const Config config = tiny();
  const auto model = fresh_model(config);
  train::Trainer trainer(config, *model);
  double first = 0, last = 0;
  for (int i = 0; i < 40; ++i) {
    const double loss = trainer.step().total;
    if (i < 8) first += loss;
    if (i >= 32) last += loss;
  }
  EXPECT_LT(last, 0.8 * first);
}

TEST(Trainer, MixedPrecisionFollowsTheRunInFloat) {
  if (!cpu::onednn::has_fast_bf16()) GTEST_SKIP() << "no bf16 instructions";
  Config config = tiny();
  const auto in_float = fresh_model(config), mixed = fresh_model(config);
  train::Trainer reference(config, *in_float);
  config.train.precision = Precision::bf16;
  train::Trainer trainer(config, *mixed);
  for (int i = 0; i < 4; ++i) {
    const double want = reference.step().total;
    EXPECT_NEAR(trainer.step().total, want, 0.03 * want) << i;  // rounding moves the matching and the sampled points
  }
  for (const nn::Entry& entry : mixed->params().entries()) {
    EXPECT_EQ(entry.value.dtype(), DType::f32) << entry.name;
    if (entry.kind != nn::Kind::parameter) continue;
    EXPECT_EQ(autograd::grad(entry.value).dtype(), DType::f32) << entry.name;
  }
}

TEST(ParameterGroups, FollowTheOfficialRecipe) {
  const Config config = tiny();
  const auto model = fresh_model(config);
  for (const train::TrainedParameter& p : train::trained_parameters(model->params(), config.train)) {
    const bool norm_or_embedding =
        p.name.find("norm") != std::string::npos || p.name.find("predictor.query_") != std::string::npos ||
        p.name.find("predictor.level_embed") != std::string::npos ||
        (p.name.find("pixel_decoder.input_proj") != std::string::npos && p.name.find(".1.") != std::string::npos &&
         p.value.rank() == 1 && p.name.find(".1.0.") == std::string::npos);
    EXPECT_EQ(p.weight_decay, norm_or_embedding ? 0.0 : config.train.weight_decay) << p.name;
  }
}

}  // namespace
}  // namespace visage
