// Targets and losses of Mask2Former-VIS against the loops of offline_reference.h, and their gradients against
// differences of what the loops give.
#include "nn/init/test_weights.h"
#include "ops/elementwise/elementwise.h"
#include "ops/shape/views.h"
#include "tensor/transfer.h"
#include "tests/support/values.h"
#include "tests/visage/model/offline_reference.h"
#include "tests/visage/model/small_detector.h"
#include "visage/model/training_losses.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace visage {
namespace {

using test::Numbers;
using test::ReferenceClip;
using test::ReferenceDecoder;
using test::ReferenceLosses;
using test::ReferencePixels;
using test::values_of;

constexpr std::int64_t kHeight = 64, kWidth = 96;

CriterionConfig few_points() { return {.num_points = 40}; }

/// Frames of clips: an entry a clip, in it one an instance, in it a letter a frame: 'x' where the instance is shown.
using Script = std::vector<std::vector<std::string>>;

bool shows(std::int64_t clip, std::int64_t instance, std::int64_t frame, std::int64_t y, std::int64_t x) {
  const std::int64_t top = 7 + 9 * instance + 2 * frame, left = 5 + 14 * instance + 6 * frame + 8 * clip;
  return y >= top && y < top + 21 && x >= left && x < left + 25 + 3 * instance;
}

std::int64_t label_of(std::int64_t clip, std::size_t instance) {
  return (clip + static_cast<std::int64_t>(instance)) % 3;
}

std::vector<FrameTargets> frames_of(const Script& script, std::int64_t frames) {
  std::vector<FrameTargets> all;
  for (std::int64_t clip = 0; clip < std::ssize(script); ++clip)
    for (std::int64_t t = 0; t < frames; ++t) {
      FrameTargets& frame = all.emplace_back();
      frame.masks = Tensor::zeros({std::ssize(script[clip]), kHeight, kWidth}, DType::u8);
      auto* pixel = frame.masks.data<std::uint8_t>();
      for (std::size_t i = 0; i < script[clip].size(); ++i) {
        const bool shown = script[clip][i][t] == 'x';
        frame.labels.push_back(label_of(clip, i));
        frame.ids.push_back(shown ? 100 + static_cast<std::int64_t>(i) : -1);
        for (std::int64_t y = 0; y < kHeight; ++y)
          for (std::int64_t x = 0; x < kWidth; ++x)
            *pixel++ = shown && shows(clip, static_cast<std::int64_t>(i), t, y, x) ? 1 : 0;
      }
    }
  return all;
}

/// The instances that are shown at all, as volumes.
std::vector<ReferenceClip> volumes_of(const Script& script, std::int64_t frames) {
  std::vector<ReferenceClip> clips;
  for (std::int64_t clip = 0; clip < std::ssize(script); ++clip) {
    ReferenceClip& out = clips.emplace_back(ReferenceClip{{}, {}, kHeight, kWidth});
    for (std::size_t i = 0; i < script[clip].size(); ++i) {
      if (script[clip][i].find('x') == std::string::npos) continue;
      out.labels.push_back(label_of(clip, i));
      for (std::int64_t t = 0; t < frames; ++t)
        for (std::int64_t y = 0; y < kHeight; ++y)
          for (std::int64_t x = 0; x < kWidth; ++x)
            out.masks.push_back(script[clip][i][t] == 'x' && shows(clip, static_cast<std::int64_t>(i), t, y, x) ? 1
                                                                                                                : 0);
    }
  }
  return clips;
}

TEST(ClipTargets, AreTheInstancesThatAFrameShows) {
  const Script script = {{"x.x", "...", ".x."}, {"...", "...", "..."}, {"..x", "xxx", "..."}};
  const std::vector<FrameTargets> frames = frames_of(script, 3);
  const std::vector<ReferenceClip> want = volumes_of(script, 3);
  EXPECT_EQ(visible_instances(std::span(frames).first(3)), (std::vector<std::int64_t>{0, 2}));
  EXPECT_TRUE(visible_instances(std::span(frames).subspan(3, 3)).empty());
  const std::vector<FrameTargets> got = clip_targets(frames, 3);
  ASSERT_EQ(got.size(), 3u);
  for (std::size_t n = 0; n < 3; ++n) {
    EXPECT_EQ(got[n].labels, want[n].labels) << n;
    EXPECT_EQ(got[n].ids.size(), want[n].labels.size()) << n;
    EXPECT_EQ(got[n].masks.size(), (Dims{std::ssize(want[n].labels), 3 * kHeight, kWidth})) << n;
    EXPECT_EQ(values_of(got[n].masks), want[n].masks) << n;
  }
  EXPECT_THROW((void)clip_targets(frames, 2), ShapeError);
  EXPECT_THROW((void)clip_targets(frames, 0), ShapeError);
}

/// The same numbers for the same purpose, wherever in a batch a part begins.
Tensor draw_points(const Dims& size, const PointDraw& draw) {
  const nn::HashStream stream("points/" + std::to_string(static_cast<int>(draw.use)) + "/" + std::to_string(draw.head));
  return stream.uniform(size, {}, draw.first * size[1] * size[2]);
}

void expect_losses(const ReferenceLosses& want, const CriterionOutput& got, std::int64_t queries) {
  ASSERT_EQ(got.losses.size(), want.terms.size());
  for (std::size_t i = 0; i < want.terms.size(); ++i) {
    const auto& [name, value] = want.terms[i];
    EXPECT_EQ(got.losses[i].name, name);
    EXPECT_NEAR(item(autograd::detach(got.losses[i].value)), value, 5e-6 * (1 + value)) << name;
  }
  ASSERT_EQ(got.costs.size(), want.costs.size());
  for (std::size_t k = 0; k < want.costs.size(); ++k) {
    const Numbers costs = values_of(got.costs[k]);
    ASSERT_EQ(costs.size(), want.costs[k].size());
    for (std::size_t i = 0; i < costs.size(); ++i) EXPECT_NEAR(costs[i], want.costs[k][i], 5e-5) << k;
    const auto* const query_of = got.matches[k].query_of_instance.data<std::int64_t>();
    for (std::size_t i = 0; i < want.query_of[k].size(); ++i)
      EXPECT_EQ(query_of[i] < 0 ? -1 : query_of[i] % queries, want.query_of[k][i]) << k;
  }
}

constexpr double kMargin = 2e-5;  // of everything that is decided; float and double agree on it

struct Case {
  const char* name;
  std::int64_t frames;
  std::uint64_t seed;
  Script script;
};

std::vector<Case> cases() {
  return {{"frames", 1, 6, {{"x", "x"}, {"x"}}},
          {"volumes", 2, 12, {{"xx", ".x", ".."}, {"xx", "x.", "xx"}}},
          {"an empty clip between others", 3, 3, {{"x.x", "xxx"}, {"...", "..."}, {".x.", "xxx"}}},
          {"nothing at all", 2, 4, {{".."}, {".."}}},
          {"more instances than queries", 2, 10, {{"xx", "x.", ".x", "xx", "xx", "xx"}, {"xx"}}}};
}

/// Maps that no network made, and a decoder.
struct Scene {
  nn::ParamStore store;
  Mask2FormerConfig config = test::small_detector(Mode::offline);
  MaskedDecoder decoder{nn::Scope(store, "predictor"), config};
  PixelFeatures pixel;
  Scene(std::int64_t images, std::uint64_t seed) {
    nn::fill_test_weights(store, "losses");
    pixel.shapes = {{2, 3}, {4, 6}, {8, 12}};
    pixel.tokens = test::random_normal({images, 126, 32}, seed);
    pixel.mask_features = test::random_normal({images, 16, 24, 32}, seed + 1, DType::f32, 0, 0.3);
  }
  ReferenceDecoder reference() const { return {store, "predictor.", config}; }
};

TEST(OfflineLosses, EqualTheLoops) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const std::int64_t clips = std::ssize(c.script);
    const Scene scene(clips * c.frames, c.seed);
    const ReferencePixels pixels(scene.pixel);
    const test::ReferenceDecoding decoded = scene.reference()(pixels, c.frames);
    const ReferenceLosses want =
        reference_losses(decoded.heads, pixels, volumes_of(c.script, c.frames), 3, few_points(), draw_points);
    ASSERT_GT(std::min(decoded.margin, want.margin), kMargin) << "choose another seed";
    const DecoderOutput heads = scene.decoder(scene.pixel, MaskDetail::embeddings, c.frames);
    const MaskCriterion criterion(3, few_points(), {});
    const BatchTargets targets(clip_targets(frames_of(c.script, c.frames), c.frames), {});
    expect_losses(want, criterion(heads.heads, scene.pixel.mask_features, targets, draw_points), 5);
  }
}

/// Compares some elements of a gradient with differences of `loss` as a function of `value`.
void expect_gradient(const Tensor& of, Numbers& value, const std::function<double()>& loss) {
  const Numbers gradient = values_of(autograd::grad(of));
  ASSERT_EQ(gradient.size(), value.size());
  const auto larger = [](double a, double b) { return std::abs(a) < std::abs(b); };
  const auto largest = std::max_element(gradient.begin(), gradient.end(), larger);
  for (const std::size_t i :
       {static_cast<std::size_t>(largest - gradient.begin()), gradient.size() / 3, 2 * gradient.size() / 3 + 1}) {
    constexpr double kStep = 1e-6;
    const double at = value[i];
    value[i] = at + kStep;
    const double above = loss();
    value[i] = at - kStep;
    const double below = loss();
    value[i] = at;
    EXPECT_NEAR(gradient[i], (above - below) / (2 * kStep), 1e-4 * std::abs(*largest)) << "element " << i;
  }
  EXPECT_GT(std::abs(*largest), 1e-4) << "the loss does not depend on it";
}

TEST(OfflineLosses, GradientsAreThoseOfTheLoops) {
  const Case c = cases()[1];
  const Scene scene(4, c.seed);
  autograd::set_requires_grad(scene.pixel.tokens);
  autograd::set_requires_grad(scene.pixel.mask_features);
  {
    autograd::Tape tape;
    const DecoderOutput heads = scene.decoder(scene.pixel, MaskDetail::embeddings, 2);
    const MaskCriterion criterion(3, few_points(), {});
    const BatchTargets targets(clip_targets(frames_of(c.script, 2), 2), {});
    const CriterionOutput out = criterion(heads.heads, scene.pixel.mask_features, targets, draw_points);
    std::vector<Tensor> values;
    std::vector<float> weights;
    for (const LossTerm& term : out.losses) {
      values.push_back(term.value);
      weights.push_back(static_cast<float>(term.weight));
    }
    tape.backward(ops::weighted_sum(values, weights));
  }
  ReferencePixels pixels(scene.pixel);
  ReferenceDecoder decoder = scene.reference();
  const std::vector<ReferenceClip> clips = volumes_of(c.script, 2);
  const auto loss = [&] {
    return reference_losses(decoder(pixels, 2).heads, pixels, clips, 3, few_points(), draw_points).total;
  };
  const auto expect = [&](const std::string& name) {
    SCOPED_TRACE(name);
    expect_gradient(scene.store.find("predictor." + name)->value, decoder.weights.at(name), loss);
  };
  {
    SCOPED_TRACE("tokens");
    expect_gradient(scene.pixel.tokens, pixels.tokens, loss);
  }
  {
    SCOPED_TRACE("mask features");
    expect_gradient(scene.pixel.mask_features, pixels.features, loss);
  }
  expect("query_feat.weight");
  expect("query_embed.weight");
  expect("level_embed.weight");
  expect("transformer_cross_attention_layers.1.multihead_attn.in_proj_weight");
  expect("transformer_ffn_layers.2.linear1.weight");
  expect("mask_embed.layers.0.weight");
  expect("class_embed.bias");
}

struct Whole {
  Model model;
  Tensor images;
  explicit Whole(std::int64_t count) : model(config()), images(test::random_normal({count, kHeight, kWidth, 3}, 5)) {
    nn::fill_test_weights(model.params(), "losses");
  }
  static ModelConfig config() {
    ModelConfig config;
    config.backbone = {.depth = 18, .width = 8};
    config.detector = test::small_detector(Mode::offline);
    return config;
  }
};

TrainingLossConfig recipe() {
  TrainingLossConfig config;
  config.masks = few_points();
  return config;
}

TEST(OfflineLosses, TheObjectiveIsTheSetPredictionLossOfClips) {
  const Case c = cases()[1];
  const Whole whole(4);
  const TrainingObjective objective(whole.model, recipe());
  autograd::Tape tape;
  const TrainingLosses got =
      objective(whole.images, BatchTargets(clip_targets(frames_of(c.script, 2), 2), {}), 2, draw_points);
  const ReferencePixels pixels([&] {
    const autograd::NoGrad constant;
    return whole.model.pixel_decoder()(whole.model.backbone()(whole.images));
  }());
  const ReferenceDecoder decoder(whole.model.params(), "sem_seg_head.predictor.", whole.model.config().detector);
  const test::ReferenceDecoding decoded = decoder(pixels, 2);
  const ReferenceLosses want =
      reference_losses(decoded.heads, pixels, volumes_of(c.script, 2), 3, few_points(), draw_points);
  ASSERT_GT(std::min(decoded.margin, want.margin), kMargin) << "choose another seed";
  expect_losses(want, got.criterion, 5);
  EXPECT_EQ(got.terms.size(), want.terms.size()) << "an offline model has no embedding losses";
  EXPECT_NEAR(item(autograd::detach(got.total)), want.total, 5e-6 * want.total);
  tape.backward(got.total);
  for (const nn::Entry& entry : whole.model.params().entries())
    EXPECT_EQ(static_cast<bool>(autograd::grad(entry.value)), entry.kind == nn::Kind::parameter) << entry.name;
}

// Clips of one batch, or each by itself as a part of it: the sums are the same.
TEST(OfflineLosses, PartsOfABatchAddUpToIt) {
  const Script script = {{"xx", ".x", ".."}, {"xx", "x.", "xx"}};
  const Whole whole(4);
  const TrainingObjective objective(whole.model, recipe());
  const std::vector<FrameTargets> frames = frames_of(script, 2);
  const auto count = [&](std::span<const FrameTargets> part) {
    return count_targets(part, 2, whole.model.config(), recipe());
  };
  const BatchCounts all = count(frames), first = count(std::span(frames).first(2)),
                    second = count(std::span(frames).last(2));
  EXPECT_EQ(all.items, 2);
  EXPECT_EQ(all.instances, 5);
  EXPECT_EQ(all.matched, 5);
  EXPECT_NEAR(all.class_weight, 5 + 0.1 * 5, 1e-12);
  EXPECT_EQ(first.matched, 2);
  EXPECT_NEAR(first.class_weight, 2 + 0.1 * 3, 1e-12);
  EXPECT_EQ(second.instances, 3);

  const auto gradients = [&] {
    std::vector<Numbers> values;
    for (const nn::Entry& entry : whole.model.params().entries()) {
      if (entry.kind != nn::Kind::parameter) continue;
      values.push_back(values_of(autograd::grad(entry.value)));
      autograd::zero_grad(entry.value);
    }
    return values;
  };
  const auto run = [&](const Tensor& images, std::span<const FrameTargets> part, const BatchShare& share) {
    autograd::Tape tape;
    const TrainingLosses losses = objective(images, BatchTargets(clip_targets(part, 2), {}), 2, draw_points, share);
    tape.backward(losses.total);
    return item(autograd::detach(losses.total));
  };
  const double together = run(whole.images, frames, {});
  const std::vector<Numbers> want = gradients();
  double sum = 0;
  for (std::int64_t part = 0; part < 2; ++part) {
    const BatchCounts& own = part == 0 ? first : second;
    sum += run(ops::narrow(whole.images, 0, 2 * part, 2), std::span(frames).subspan(2 * part, 2),
               {.first_item = part,
                .first_match = part == 0 ? 0 : std::llround(first.matched),
                .instances = all.instances,
                .class_weight = own.class_weight / all.class_weight});
  }
  EXPECT_NEAR(sum, together, 5e-6 * together);
  const std::vector<Numbers> got = gradients();
  double norm = 0;
  for (const Numbers& one : want)
    for (const double g : one) norm += g * g;
  for (std::size_t k = 0; k < want.size(); ++k)
    for (std::size_t i = 0; i < want[k].size(); ++i) ASSERT_NEAR(got[k][i], want[k][i], 1e-5 * std::sqrt(norm)) << k;
}

}  // namespace
}  // namespace visage
