// The decoder of Mask2Former-VIS as modules and as a plan against the loops of offline_reference.h.
#include "models/mask2former/masked_decoder_plan.h"
#include "models/mask2former/pixel_decoder_plan.h"
#include "models/resnet/resnet_plan.h"
#include "nn/init/test_weights.h"
#include "ops/elementwise/elementwise.h"
#include "ops/shape/concatenate.h"
#include "ops/shape/views.h"
#include "tests/support/values.h"
#include "tests/visage/model/offline_reference.h"
#include "tests/visage/model/small_detector.h"
#include "visage/model/clip_detector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace visage {
namespace {

using test::Numbers;
using test::ReferenceDecoder;
using test::ReferenceDecoding;
using test::ReferencePixels;
using test::values_of;

Mask2FormerConfig small_decoder(int levels) {
  Mask2FormerConfig config = test::small_detector(Mode::offline);
  config.levels = levels;
  return config;
}

// Relative to the largest magnitude. A tenth of that was seen.
constexpr double kTolerance = 5e-6;

/// Largest difference, relative to the largest magnitude that is expected.
double difference(const Numbers& expected, const Tensor& actual) {
  const Numbers got = values_of(actual);
  if (got.size() != expected.size()) return INFINITY;
  double largest = 1e-12, apart = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(got[i])) return INFINITY;
    largest = std::max(largest, std::abs(expected[i]));
    apart = std::max(apart, std::abs(expected[i] - got[i]));
  }
  return apart / largest;
}

struct Decoder {
  nn::ParamStore store;
  Mask2FormerConfig config;
  MaskedDecoder module;
  explicit Decoder(int levels, Mode mode = Mode::offline)
      : config(small_decoder(levels)), module(nn::Scope(store, "predictor"), (config.mode = mode, config)) {
    nn::fill_test_weights(store, "offline");
  }
  ReferenceDecoder reference() const { return {store, "predictor.", config}; }
};

/// Maps of random numbers. The masks of a frame have much in common, so that some queries see nothing in it.
PixelFeatures random_pixels(std::int64_t images, const std::vector<ops::LevelShape>& shapes, const Dims& map,
                            std::uint64_t seed) {
  PixelFeatures pixel;
  pixel.shapes = shapes;
  std::int64_t length = 0;
  for (const ops::LevelShape& shape : shapes) length += shape.height * shape.width;
  pixel.tokens = test::random_normal({images, length, 32}, seed);
  pixel.mask_features = test::random_normal({images, map[0], map[1], 32}, seed + 1);
  const Tensor common = test::random_normal({images, 32}, seed + 2, DType::f32, 0, 2);
  for (std::int64_t i = 0; i < pixel.mask_features.numel(); ++i)
    pixel.mask_features.data<float>()[i] += common.data<float>()[i / (map[0] * map[1] * 32) * 32 + i % 32];
  return pixel;
}

struct Maps {
  std::vector<ops::LevelShape> shapes;
  Dims map;
};
const Maps kThreeLevels = {{{2, 3}, {4, 6}, {8, 12}}, {16, 24}};
const Maps kTwoLevels = {{{3, 2}, {6, 4}}, {24, 16}};

struct Clips {
  Maps maps;
  std::int64_t clips, frames;
  std::uint64_t seed;
};

std::vector<Clips> all_clips() {
  return {{kThreeLevels, 1, 1, 1}, {kThreeLevels, 1, 2, 2}, {kThreeLevels, 2, 3, 3},
          {kTwoLevels, 1, 3, 14},  {kTwoLevels, 2, 2, 5},   {kTwoLevels, 2, 1, 6}};
}

// Float and double agree on every bit of the attention masks where all logits are farther from 0 than this.
constexpr double kClearOfZero = 1e-4;

TEST(OfflineDecoder, EqualsTheLoops) {
  int seeing_all = 0, blind_in_frame = 0;
  for (const Clips& c : all_clips()) {
    SCOPED_TRACE(testing::Message() << c.clips << " clips of " << c.frames << ", levels " << c.maps.shapes.size());
    const Decoder decoder(static_cast<int>(c.maps.shapes.size()));
    const PixelFeatures pixel = random_pixels(c.clips * c.frames, c.maps.shapes, c.maps.map, c.seed);
    const ReferenceDecoding want = decoder.reference()(ReferencePixels(pixel), c.frames);
    ASSERT_GT(want.margin, kClearOfZero) << "choose another seed";
    seeing_all += want.rows_that_see_all;
    blind_in_frame += want.rows_blind_in_frame;
    for (const MaskDetail detail : {MaskDetail::full, MaskDetail::embeddings}) {
      SCOPED_TRACE(detail == MaskDetail::full ? "full" : "embeddings");
      const DecoderOutput got = decoder.module(pixel, detail, c.frames);
      ASSERT_EQ(got.heads.size(), want.heads.size());
      for (std::size_t k = 0; k < got.heads.size(); ++k) {
        EXPECT_LE(difference(want.heads[k].query, got.heads[k].query), kTolerance) << k;
        EXPECT_LE(difference(want.heads[k].classes, got.heads[k].class_logits), kTolerance) << k;
        EXPECT_LE(difference(want.heads[k].embedding, got.heads[k].mask_embedding), kTolerance) << k;
        if (detail == MaskDetail::embeddings) {
          EXPECT_FALSE(got.heads[k].mask_logits);
          continue;
        }
        EXPECT_EQ(got.heads[k].mask_logits.size(), (Dims{c.clips, 5, c.frames * c.maps.map[0], c.maps.map[1]}));
        EXPECT_LE(difference(want.heads[k].masks, got.heads[k].mask_logits), kTolerance) << k;
      }
      EXPECT_LE(difference(want.embeddings, got.embeddings), kTolerance);
    }
  }
  EXPECT_GT(seeing_all, 0) << "no row was blocked in the whole clip; choose other seeds";
  EXPECT_GT(blind_in_frame, 0) << "no row was blocked in one frame only; choose other seeds";
}

/// Images in another order.
Tensor picked(const Tensor& x, const std::vector<std::int64_t>& order) {
  std::vector<Tensor> parts;
  for (const std::int64_t n : order) parts.push_back(ops::narrow(x, 0, n, 1));
  return ops::concatenate(parts, 0);
}

PixelFeatures picked(const PixelFeatures& pixel, const std::vector<std::int64_t>& order) {
  PixelFeatures out;
  out.shapes = pixel.shapes;
  out.tokens = picked(pixel.tokens, order);
  out.mask_features = picked(pixel.mask_features, order);
  return out;
}

TEST(OfflineDecoder, ClipsOfABatchAreByThemselves) {
  const Decoder decoder(3);
  const PixelFeatures pixel = random_pixels(4, kThreeLevels.shapes, kThreeLevels.map, 7);
  const DecoderOutput both = decoder.module(pixel, MaskDetail::full, 2);
  for (std::int64_t n = 0; n < 2; ++n) {
    const DecoderOutput one = decoder.module(picked(pixel, {2 * n, 2 * n + 1}), MaskDetail::full, 2);
    for (std::size_t k = 0; k < both.heads.size(); ++k) {
      EXPECT_LE(difference(values_of(ops::narrow(both.heads[k].class_logits, 0, n, 1)), one.heads[k].class_logits),
                kTolerance);
      EXPECT_LE(difference(values_of(ops::narrow(both.heads[k].mask_logits, 0, n, 1)), one.heads[k].mask_logits),
                kTolerance);
    }
  }
}

// A query sees all frames, and each of them at its place.
TEST(OfflineDecoder, DependsOnEveryFrameAndOnTheirOrder) {
  const Decoder decoder(3);
  const PixelFeatures pixel = random_pixels(4, kThreeLevels.shapes, kThreeLevels.map, 2);
  const auto classes = [&](const std::vector<std::int64_t>& order) {
    return decoder.module(picked(pixel, order), MaskDetail::full, std::ssize(order)).heads.back().class_logits;
  };
  const Numbers clip = values_of(classes({0, 1, 2}));
  EXPECT_GT(difference(clip, classes({2, 1, 0})), 1e-3);
  EXPECT_GT(difference(clip, classes({3, 1, 2})), 1e-3);
  EXPECT_GT(difference(clip, classes({0, 3, 2})), 1e-3);
  EXPECT_GT(difference(clip, classes({0, 1, 3})), 1e-3);
}

// With a single frame the third axis of the position code adds the same to all keys, which the softmax does not see.
TEST(OfflineDecoder, AClipOfOneFrameIsAFrame) {
  const Decoder offline(3), online(3, Mode::online);
  const PixelFeatures pixel = random_pixels(2, kThreeLevels.shapes, kThreeLevels.map, 2);
  const DecoderOutput frames = online.module(pixel, MaskDetail::full),
                      clips = offline.module(pixel, MaskDetail::full, 1);
  EXPECT_LE(difference(values_of(frames.heads.back().class_logits), clips.heads.back().class_logits), kTolerance);
  EXPECT_LE(difference(values_of(frames.heads.back().mask_logits), clips.heads.back().mask_logits), kTolerance);
}

TEST(OfflineDecoder, RefusesWhatIsNoClip) {
  const Decoder offline(3), online(3, Mode::online);
  const PixelFeatures pixel = random_pixels(4, kThreeLevels.shapes, kThreeLevels.map, 2);
  EXPECT_THROW((void)offline.module(pixel, MaskDetail::full, 3), ShapeError);
  EXPECT_THROW((void)offline.module(pixel, MaskDetail::full, 0), ShapeError);
  EXPECT_THROW((void)online.module(pixel, MaskDetail::full, 2), ShapeError);
}

ModelConfig small_model(int levels) {
  ModelConfig config;
  config.backbone = {.depth = 18, .width = 8};
  config.detector = small_decoder(levels);
  return config;
}

/// Lowers the masks of all queries so far that some see nothing in a frame and some nothing in the whole clip: by the
/// bias of the mask features, against the mean of the mask embeddings.
void lower_masks(const Model& model, const ReferenceDecoding& before) {
  const Tensor& bias = model.pixel_decoder().mask_features().bias;
  const std::size_t channels = bias.numel();
  Numbers mean(channels, 0.0);
  double squares = 0, count = 0, length = 0;
  for (const test::ReferenceHead& head : before.heads) {
    for (std::size_t i = 0; i < head.embedding.size(); ++i) mean[i % channels] += head.embedding[i];
    for (const double logit : head.masks) squares += logit * logit;
    count += static_cast<double>(head.masks.size());
  }
  for (const double m : mean) length += m * m;
  const double rows = static_cast<double>(before.heads.size() * before.heads[0].embedding.size() / channels);
  for (std::size_t c = 0; c < channels; ++c)
    bias.data<float>()[c] -= static_cast<float>(std::sqrt(squares / count) * rows * mean[c] / length);
}

/// Images, and what the loops say about them.
struct Scene {
  Model model;
  Tensor images;
  std::int64_t frames;
  ReferenceDecoding want;
  Scene(int levels, std::int64_t clips, std::int64_t length, std::uint64_t seed)
      : model(small_model(levels)), images(test::random_normal({clips * length, 64, 96, 3}, seed)), frames(length) {
    nn::fill_test_weights(model.params(), "offline");
    lower_masks(model, decode(frames));
    want = decode(frames);
  }
  ReferenceDecoding decode(std::int64_t clip) const {
    const ReferencePixels pixels(model.pixel_decoder()(model.backbone()(images)));
    return ReferenceDecoder(model.params(), "sem_seg_head.predictor.", model.config().detector)(pixels, clip);
  }
};

/// Masks [T, Q, h, w] in the order of the loops, [Q, T, h, w].
Tensor query_major(const Tensor& masks) { return ops::permute(masks, {1, 0, 2, 3}); }

void expect_detection(const ReferenceDecoding& want, const ClipDetection& got, double tolerance) {
  EXPECT_LE(difference(want.heads.back().classes, got.class_logits), tolerance);
  EXPECT_LE(difference(want.heads.back().masks, query_major(got.mask_logits)), tolerance);
  EXPECT_LE(difference(want.embeddings, got.decoder), tolerance);
}

// The plan's backbone and pixel decoder are others as well (folded norms): more rounding than from the decoder alone.
constexpr double kPlanTolerance = 2e-5;

TEST(ClipDetector, BothPlansEqualTheLoops) {
  int seeing_all = 0, blind_in_frame = 0;
  for (const int levels : {1, 2, 3})
    for (const std::int64_t frames : {1, 2, 3}) {
      SCOPED_TRACE(testing::Message() << levels << " levels, " << frames << " frames");
      const Scene scene(levels, 1, frames, 10 * levels + frames);
      ASSERT_GT(scene.want.margin, kClearOfZero) << "choose another seed";
      seeing_all += scene.want.rows_that_see_all;
      blind_in_frame += frames > 1 ? scene.want.rows_blind_in_frame : 0;
      const auto plain = make_plain_clip_detector(scene.model);
      expect_detection(scene.want, plain->detect(plain->features(scene.images), nullptr), kTolerance);
      const auto fast = make_fast_clip_detector(scene.model, Precision::f32);
      const std::vector<Tensor> maps = fast->features(scene.images);
      expect_detection(scene.want, fast->detect(maps, nullptr), kPlanTolerance);
      DecoderOutput trace;
      expect_detection(scene.want, fast->detect(maps, &trace), kPlanTolerance);
      ASSERT_EQ(trace.heads.size(), scene.want.heads.size());
      for (std::size_t k = 0; k < trace.heads.size(); ++k) {
        EXPECT_LE(difference(scene.want.heads[k].classes, trace.heads[k].class_logits), kPlanTolerance) << k;
        EXPECT_LE(difference(scene.want.heads[k].masks, trace.heads[k].mask_logits), kPlanTolerance) << k;
      }
    }
  EXPECT_GT(seeing_all, 0) << "no row was blocked in the whole clip; choose other seeds";
  EXPECT_GT(blind_in_frame, 0) << "no row was blocked in one frame only; choose other seeds";
}

// A chunk of a video is made of maps that were computed one frame at a time.
TEST(ClipDetector, MapsOfFramesMakeTheClip) {
  const Scene scene(3, 1, 3, 33);
  ASSERT_GT(scene.want.margin, kClearOfZero) << "choose another seed";
  for (const bool is_fast : {false, true}) {
    const auto detector =
        is_fast ? make_fast_clip_detector(scene.model, Precision::f32) : make_plain_clip_detector(scene.model);
    std::vector<std::vector<Tensor>> frames;  // a map: its frames
    for (std::int64_t t = 0; t < 3; ++t) {
      const std::vector<Tensor> maps = detector->features(ops::narrow(scene.images, 0, t, 1));
      frames.resize(maps.size());
      for (std::size_t i = 0; i < maps.size(); ++i) frames[i].push_back(maps[i]);
    }
    std::vector<Tensor> clip;
    for (const std::vector<Tensor>& maps : frames) clip.push_back(ops::concatenate(maps, 0));
    expect_detection(scene.want, detector->detect(clip, nullptr), is_fast ? kPlanTolerance : kTolerance);
  }
}

TEST(ClipDetector, Bf16IsNear) {
  const Scene scene(3, 1, 2, 32);
  const auto detector = make_fast_clip_detector(scene.model, Precision::bf16);
  const ClipDetection got = detector->detect(detector->features(scene.images), nullptr);
  expect_detection(scene.want, got, 0.3);  // a mask bit that flips changes what a query attends to
}

TEST(MaskedDecoderPlan, TakesBatchesOfClips) {
  const Scene scene(3, 2, 2, 40);
  ASSERT_GT(scene.want.margin, kClearOfZero) << "choose another seed";
  const Model& model = scene.model;
  const PlannedPixels pixels = PixelDecoderPlan(model.pixel_decoder(), {}, DType::f32)(
      ResNetPlan(model.backbone(), DType::f32)(scene.images), nullptr);
  MaskedDecoderPlan plan(model.decoder(), model.pixel_decoder().mask_features(), DType::f32);
  const PlannedQueries got = plan(pixels, nullptr, 2);
  EXPECT_LE(difference(scene.want.heads.back().classes, got.class_logits), kPlanTolerance);
  EXPECT_LE(difference(scene.want.heads.back().masks, got.mask_logits), kPlanTolerance);
  // Clips of another length at the same size have tables of their own.
  const ReferenceDecoding longer = scene.decode(4);
  ASSERT_GT(longer.margin, kClearOfZero) << "choose another seed";
  const PlannedQueries one = plan(pixels, nullptr, 4);
  EXPECT_LE(difference(longer.heads.back().classes, one.class_logits), kPlanTolerance);
}

TEST(ClipDetector, RefusesAModelOfFrames) {
  ModelConfig config = small_model(3);
  config.detector.mode = Mode::online;
  const Model model(config);
  EXPECT_THROW((void)make_plain_clip_detector(model), UsageError);
  EXPECT_THROW((void)make_fast_clip_detector(model, Precision::f32), UsageError);
}

}  // namespace
}  // namespace visage
