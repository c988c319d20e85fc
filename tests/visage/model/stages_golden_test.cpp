// Single stages on inputs from the hash stream: an error shows in the stage that makes it.
#include "nn/init/test_weights.h"
#include "ops/elementwise/elementwise.h"
#include "ops/shape/views.h"
#include "tests/support/golden.h"
#include "tests/support/nchw.h"
#include "tests/visage/model/golden_clip.h"
#include "visage/model/model.h"

#include <gtest/gtest.h>

namespace visage {
namespace {

using test::to_nchw;

// The stream "<seed>/stage/<name>" as a channels-first tensor, in our layout when it is an image.
Tensor stage_input(const std::string& name, const Dims& nchw, float factor = 1.f) {
  Tensor t = Tensor::empty(nchw);
  const nn::HashStream stream(test::golden_seed() + "/stage/" + name);
  for (std::int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = factor * stream.symmetric(i);
  return nchw.rank == 4 ? test::to_nhwc(t) : t;
}

class StagesGolden : public testing::Test {
 protected:
  StagesGolden() : golden("stages.safetensors"), model(ModelConfig{}) {
    nn::fill_test_weights(model.params(), test::golden_seed());
  }
  test::GoldenFile golden;
  Model model;
};

TEST_F(StagesGolden, Backbone) {
  const BackboneFeatures features = model.backbone()(stage_input("backbone/x", {1, 3, 64, 96}, 2.f));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(golden.matches("backbone/res" + std::to_string(i + 2), to_nchw(features[i])));
}

TEST_F(StagesGolden, PixelDecoder) {
  const BackboneFeatures features{
      stage_input("pixel/res2", {1, 256, 24, 40}), stage_input("pixel/res3", {1, 512, 12, 20}),
      stage_input("pixel/res4", {1, 1024, 6, 10}), stage_input("pixel/res5", {1, 2048, 3, 5})};
  const PixelFeatures pixel = model.pixel_decoder()(features);
  EXPECT_TRUE(golden.matches("pixel/mask_features", to_nchw(pixel.mask_features)));
  for (std::size_t level = 0; level < 3; ++level)
    EXPECT_TRUE(
        golden.matches("pixel/ms" + std::to_string(level), to_nchw(level_image(pixel.tokens, pixel.shapes, level))));
}

TEST_F(StagesGolden, MaskedDecoder) {
  const Dims sizes[] = {{2, 256, 3, 5}, {2, 256, 6, 10}, {2, 256, 12, 20}};
  PixelFeatures pixel;
  pixel.shapes = {{3, 5}, {6, 10}, {12, 20}};
  pixel.tokens = Tensor::empty({2, 15 + 60 + 240, 256});
  for (std::size_t level = 0; level < 3; ++level) {
    const Tensor x = stage_input("decoder/x" + std::to_string(level), sizes[level]);
    const Tensor window = level_tokens(pixel.tokens, pixel.shapes, level);
    for (std::int64_t n = 0; n < 2; ++n)
      std::copy_n(x.data<float>() + n * x.stride()[0], x.stride()[0], window.data<float>() + n * window.stride()[0]);
  }
  pixel.mask_features = stage_input("decoder/mask_features", {2, 256, 24, 40});
  const DecoderOutput out = model.decoder()(pixel, MaskDetail::full);
  for (std::size_t k = 0; k < out.heads.size(); ++k) {
    const std::string number = std::to_string(k);
    EXPECT_TRUE(
        golden.matches("decoder/pred_logits/" + number, ops::reshape(out.heads[k].class_logits, {1, 2, 100, 41})));
    const Tensor masks = ops::permute(out.heads[k].mask_logits, {1, 0, 2, 3});
    EXPECT_TRUE(golden.matches("decoder/pred_masks/" + number, ops::reshape(masks, {1, 100, 2, 24, 40})));
  }
  EXPECT_TRUE(golden.matches("decoder/pred_embds", ops::reshape(out.embeddings, {1, 2, 100, 256})));
}

TEST_F(StagesGolden, AttentionMasksOfTheTrainingFormAreTheSame) {
  const Tensor images = test::clip_images("clip2");
  const PixelFeatures pixel = model.pixel_decoder()(model.backbone()(images));
  const DecoderOutput full = model.decoder()(pixel, MaskDetail::full);
  const DecoderOutput lean = model.decoder()(pixel, MaskDetail::embeddings);
  for (std::size_t k = 0; k + 1 < full.heads.size(); ++k) {
    EXPECT_FALSE(lean.heads[k].mask_logits);
    const Tensor &a = full.heads[k].blocked, &b = lean.heads[k].blocked;
    ASSERT_EQ(a.size(), b.size());
    std::int64_t different = 0;
    for (std::int64_t i = 0; i < a.numel(); ++i) different += a.data<std::uint8_t>()[i] != b.data<std::uint8_t>()[i];
    EXPECT_LE(different, 1 + a.numel() / 100000) << "head " << k;
  }
}

TEST_F(StagesGolden, AppearanceWithEmptyMasks) {
  const BackboneFeatures features{Tensor(), stage_input("appearance/res3", {2, 512, 12, 20}),
                                  stage_input("appearance/res4", {2, 1024, 6, 10}),
                                  stage_input("appearance/res5", {2, 2048, 3, 5})};
  const Tensor embeddings = ops::reshape(stage_input("appearance/embds", {2, 100, 256}), {2, 100, 256});
  const Tensor masks = Tensor::empty({2, 100, 24, 40});
  const nn::HashStream stream(test::golden_seed() + "/stage/appearance/masks");
  for (std::int64_t i = 0; i < masks.numel(); ++i)
    masks.data<float>()[i] = 4.f * stream.symmetric(i) - (i / (24 * 40) % 100 < 5 ? 8.f : 0.f);
  const AppearanceOutput out = (*model.appearance())(embeddings, features, std::vector<Tensor>(3, masks));
  Tensor pooled = Tensor::empty({2, 100, 768});
  for (std::int64_t row = 0; row < 200; ++row)
    for (std::int64_t level = 0; level < 3; ++level)
      std::copy_n(out.pooled[level].data<float>() + row * 256, 256, pooled.data<float>() + row * 768 + level * 256);
  EXPECT_TRUE(golden.matches("appearance/pooled", pooled));
  EXPECT_TRUE(golden.matches("appearance/reid", ops::reshape(out.object, {1, 2, 100, 256})));
  EXPECT_TRUE(golden.matches("appearance/appearance", ops::reshape(out.appearance, {1, 2, 100, 256})));
}

}  // namespace
}  // namespace visage
