// The bf16 plan against the official f32 numbers: how far rounding every activation to 8 bits may carry.
#include "nn/init/test_weights.h"
#include "tensor/cpu/onednn.h"
#include "tests/support/golden.h"
#include "tests/support/nchw.h"
#include "tests/support/values.h"
#include "tests/visage/model/golden_clip.h"
#include "visage/model/model.h"
#include "visage/tracking/visage_tracker.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage {
namespace {

class Bf16Golden : public testing::Test {
 protected:
  void SetUp() override {
    if (!cpu::onednn::has_fast_bf16()) GTEST_SKIP() << "this CPU has no bf16 instructions";
    Model model{ModelConfig{}};
    nn::fill_test_weights(model.params(), test::golden_seed());
    detection = make_fast_detector(model, Precision::bf16)->detect(test::clip_images("clip6"), &trace);
  }

  // rms of the difference over rms of the recorded values.
  double relative_error(const std::string& name, const Tensor& got) const {
    const test::GoldenTensor& want = golden.at(name);
    const std::vector<double> all = test::values_of(got), recorded = test::values_of(want.values);
    EXPECT_EQ(got.size(), want.full_size) << name;
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < recorded.size(); ++i) {
      difference += std::pow(all[i * static_cast<std::size_t>(want.step)] - recorded[i], 2);
      size += recorded[i] * recorded[i];
    }
    return std::sqrt(difference / size);
  }

  const test::GoldenFile golden{"forward_clip6.safetensors"};
  Detection detection;
  DetectionTrace trace;
};

// bf16 rounds by at most 2^-9 = 0.2 %; errors of the layers add up like independent ones.
TEST_F(Bf16Golden, StagesStayNear) {
  for (int i = 0; i < 4; ++i)
    EXPECT_LE(relative_error("backbone/res" + std::to_string(i + 2), test::to_nchw(trace.backbone[i])), 0.02) << i;
  EXPECT_LE(relative_error("pixel/encoder_layer/5", trace.pixel.layer_tokens.back()), 0.03);
  EXPECT_LE(relative_error("pixel/fpn_layer_1", test::to_nchw(trace.pixel.merged)), 0.03);
  EXPECT_LE(relative_error("decoder/pred_masks/9", detection.mask_logits), 0.1);
  EXPECT_LE(relative_error("decoder/pred_logits/9", detection.class_logits), 0.1);
  EXPECT_LE(relative_error("reid_queries", detection.object), 0.1);
  EXPECT_LE(relative_error("appearance_queries", detection.appearance), 0.1);
}

TEST_F(Bf16Golden, TracksAreTheSame) {
  tracking::VisageTracker tracker({.weighting = MemoryWeighting::release});
  const Tensor want = golden.load("track/indices");
  const std::int64_t queries = want.size(1);
  std::int64_t different = 0;
  for (std::int64_t t = 0; t <= want.size(0); ++t) {
    const auto frame = [&](const Tensor& batch) {
      return Tensor::alias(batch, {batch.size(1), batch.size(2)}, {batch.size(2), 1}, t * batch.stride()[0]);
    };
    const std::vector<int> tracks =
        tracker.step({frame(detection.class_logits), frame(detection.object), frame(detection.appearance)})
            .query_of_track;
    for (std::int64_t slot = 0; t > 0 && slot < queries; ++slot)
      different += tracks[slot] != want.data<std::int64_t>()[(t - 1) * queries + slot];
  }
  EXPECT_LE(different, want.numel() / 50);
}

}  // namespace
}  // namespace visage
