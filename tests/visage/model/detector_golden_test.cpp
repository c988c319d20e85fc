// Both inference paths against the official implementation, stage by stage, on the six-frame clip and on the padded
// two-frame clip. Weights are the deterministic ones of the set.
#include "nn/init/test_weights.h"
#include "ops/shape/views.h"
#include "tests/support/golden.h"
#include "tests/support/nchw.h"
#include "tests/visage/model/golden_clip.h"
#include "visage/model/model.h"

#include <gtest/gtest.h>

#include <string>

namespace visage {
namespace {

using test::GoldenFile;
using test::to_nchw;

struct Case {
  const char* plan;
  const char* clip;
};

std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.plan << "_" << c.clip; }

const Model& golden_model() {
  static const auto model = [] {
    auto made = std::make_unique<Model>(ModelConfig{});
    nn::fill_test_weights(made->params(), test::golden_seed());
    return made;
  }();
  return *model;
}

class DetectorGolden : public testing::TestWithParam<Case> {
 protected:
  struct Run {
    Detection detection;
    DetectionTrace trace;
  };
  // One run per case; the tests look at different stages of it.
  const Run& run() {
    static std::map<std::string, Run> runs;
    const std::string key = std::string(GetParam().plan) + GetParam().clip;
    if (const auto found = runs.find(key); found != runs.end()) return found->second;
    const auto detector = GetParam().plan == std::string("plain") ? make_plain_detector(golden_model())
                                                                  : make_fast_detector(golden_model(), Precision::f32);
    Run result;
    result.detection = detector->detect(test::clip_images(GetParam().clip), &result.trace);
    return runs[key] = result;
  }
  const GoldenFile& golden() {
    static std::map<std::string, GoldenFile> files;
    const std::string name = std::string("forward_") + GetParam().clip + ".safetensors";
    return files.try_emplace(name, name).first->second;
  }
};

TEST_P(DetectorGolden, Input) { EXPECT_TRUE(golden().matches("input", to_nchw(test::clip_images(GetParam().clip)))); }

TEST_P(DetectorGolden, Backbone) {
  for (int i = 0; i < 4; ++i)
    EXPECT_TRUE(golden().matches("backbone/res" + std::to_string(i + 2), to_nchw(run().trace.backbone[i])));
}

TEST_P(DetectorGolden, PixelDecoder) {
  const PixelFeatures& pixel = run().trace.pixel;
  for (std::size_t level = 0; level < pixel.shapes.size(); ++level) {
    const std::string number = std::to_string(level);
    const auto image = [&](const Tensor& tokens) { return to_nchw(level_image(tokens, pixel.shapes, level)); };
    EXPECT_TRUE(golden().matches("pixel/input_proj/" + number, image(pixel.layer_tokens[0])));
    EXPECT_TRUE(golden().matches("pixel/ms/" + number, image(pixel.tokens)));
  }
  for (std::size_t i = 0; i + 1 < pixel.layer_tokens.size(); ++i)
    EXPECT_TRUE(golden().matches("pixel/encoder_layer/" + std::to_string(i), pixel.layer_tokens[i + 1]));
  EXPECT_TRUE(golden().matches("pixel/fpn_adapter_1", to_nchw(pixel.lateral)));
  EXPECT_TRUE(golden().matches("pixel/fpn_layer_1", to_nchw(pixel.merged)));
  EXPECT_TRUE(golden().matches("pixel/mask_features", to_nchw(pixel.mask_features)));
}

TEST_P(DetectorGolden, EveryHead) {
  const std::vector<HeadOutput>& heads = run().trace.decoder.heads;
  ASSERT_EQ(heads.size(), 10u);
  for (std::size_t k = 0; k < heads.size(); ++k) {
    const std::string number = std::to_string(k);
    EXPECT_TRUE(golden().matches("decoder/query/" + number, ops::permute(heads[k].query, {1, 0, 2})));
    EXPECT_TRUE(golden().matches("decoder/pred_logits/" + number, heads[k].class_logits));
    EXPECT_TRUE(golden().matches("decoder/pred_masks/" + number, heads[k].mask_logits));
  }
  EXPECT_TRUE(golden().matches("pred_embds", run().trace.decoder.embeddings));
}

TEST_P(DetectorGolden, AttentionMasks) {
  const std::vector<HeadOutput>& heads = run().trace.decoder.heads;
  for (std::size_t k = 0; k + 1 < heads.size(); ++k)
    EXPECT_TRUE(test::bits_match(golden().at("decoder/attn_mask/" + std::to_string(k)), heads[k].blocked)) << k;
}

TEST_P(DetectorGolden, Appearance) {
  const AppearanceOutput& out = run().trace.appearance;
  for (std::size_t level = 0; level < out.pooled.size(); ++level) {
    EXPECT_TRUE(golden().matches("app/pooled/" + std::to_string(level), out.pooled[level]));
    EXPECT_TRUE(golden().matches("app/mask_count/" + std::to_string(level), out.counts[level]));
  }
  EXPECT_TRUE(golden().matches("reid_queries", out.object));
  EXPECT_TRUE(golden().matches("appearance_queries", out.appearance));
}

TEST_P(DetectorGolden, DetectionIsTheLastHead) {
  EXPECT_TRUE(golden().matches("decoder/pred_logits/9", run().detection.class_logits));
  EXPECT_TRUE(golden().matches("decoder/pred_masks/9", run().detection.mask_logits));
  EXPECT_TRUE(golden().matches("reid_queries", run().detection.object));
  EXPECT_TRUE(golden().matches("appearance_queries", run().detection.appearance));
}

INSTANTIATE_TEST_SUITE_P(Plans, DetectorGolden,
                         testing::Values(Case{"plain", "clip6"}, Case{"plain", "clip2"}, Case{"fast", "clip6"},
                                         Case{"fast", "clip2"}),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace visage
