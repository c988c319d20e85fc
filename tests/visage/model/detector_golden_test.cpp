// Both inference paths against the official implementation, stage by stage, on the six-frame clip and on the padded
// two-frame clip. Weights are the deterministic ones of the set.
#include "nn/init/test_weights.h"
#include "ops/shape/views.h"
#include "tests/support/golden.h"
#include "tests/support/nchw.h"
#include "tests/visage/model/golden_clip.h"
#include "tests/visage/model/golden_rows.h"
#include "visage/model/model.h"

#include <gtest/gtest.h>

#include <string>

namespace visage {
namespace {

using test::BorderlineRows;
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
  // For [T, Q, ...] results behind all heads.
  void expect_rows(const std::string& name, const Tensor& got) {
    const BorderlineRows rows(run().trace, run().trace.decoder.heads.size() - 1,
                              BorderlineRows::Masks::attention_and_pooling);
    EXPECT_TRUE(test::rows_match(golden(), name, got, test::frame_major(got.size()), rows));
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
    const BorderlineRows rows(run().trace, k, BorderlineRows::Masks::attention);
    const auto expect = [&](const std::string& name, const Tensor& got, const test::RowOf& row_of) {
      EXPECT_TRUE(test::rows_match(golden(), name + number, got, row_of, rows));
    };
    const Tensor query = ops::permute(heads[k].query, {1, 0, 2});
    expect("decoder/query/", query, test::query_major(query.size()));
    expect("decoder/pred_logits/", heads[k].class_logits, test::frame_major(heads[k].class_logits.size()));
    expect("decoder/pred_masks/", heads[k].mask_logits, test::frame_major(heads[k].mask_logits.size()));
  }
  expect_rows("pred_embds", run().trace.decoder.embeddings);
}

TEST_P(DetectorGolden, AttentionMasks) {
  const std::vector<HeadOutput>& heads = run().trace.decoder.heads;
  for (std::size_t k = 0; k + 1 < heads.size(); ++k)
    EXPECT_TRUE(test::bits_match(golden().at("decoder/attn_mask/" + std::to_string(k)), heads[k].blocked)) << k;
}

TEST_P(DetectorGolden, Appearance) {
  const AppearanceOutput& out = run().trace.appearance;
  for (std::size_t level = 0; level < out.pooled.size(); ++level) {
    expect_rows("app/pooled/" + std::to_string(level), out.pooled[level]);
    expect_rows("app/mask_count/" + std::to_string(level), out.counts[level]);
  }
  expect_rows("reid_queries", out.object);
  expect_rows("appearance_queries", out.appearance);
}

TEST_P(DetectorGolden, DetectionIsTheLastHead) {
  expect_rows("decoder/pred_logits/9", run().detection.class_logits);
  expect_rows("decoder/pred_masks/9", run().detection.mask_logits);
  expect_rows("reid_queries", run().detection.object);
  expect_rows("appearance_queries", run().detection.appearance);
}

INSTANTIATE_TEST_SUITE_P(Plans, DetectorGolden,
                         testing::Values(Case{"plain", "clip6"}, Case{"plain", "clip2"}, Case{"fast", "clip6"},
                                         Case{"fast", "clip2"}),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace visage
