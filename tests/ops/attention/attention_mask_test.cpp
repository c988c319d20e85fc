#include "ops/attention/attention_mask.h"

#include "ops/attention/sigmoid_threshold.h"
#include "ops/resize/resize.h"
#include "tests/support/allclose.h"
#include "tests/support/devices.h"
#include "tests/support/golden.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <cmath>

namespace visage::ops {
namespace {

float sigmoid(float x) { return 1.f / (1.f + std::exp(-x)); }

TEST(AttentionMask, ThresholdsAreThoseOfTheSingleSigmoid) {
  EXPECT_GT(sigmoid(kLeastAboveHalf), 0.5f);
  EXPECT_EQ(sigmoid(std::nextafter(kLeastAboveHalf, 0.f)), 0.5f);
  EXPECT_LT(sigmoid(kGreatestBelowHalf), 0.5f);
  EXPECT_EQ(sigmoid(std::nextafter(kGreatestBelowHalf, 0.f)), 0.5f);
}

TEST(AttentionMask, BlocksWhereTheResizedSigmoidIsBelowHalf) {
  const Tensor logits = test::random_normal({2, 3, 8, 12}, 1);
  const Tensor resized = resize_bilinear_planes(logits, 5, 7);
  const Tensor mask = attention_mask(logits, 5, 7);
  ASSERT_EQ(mask.size(), (Dims{2, 3, 35}));
  for (std::int64_t i = 0; i < mask.numel(); ++i)
    EXPECT_EQ(mask.data<std::uint8_t>()[i], sigmoid(resized.data<float>()[i]) < 0.5f) << i;
}

TEST(AttentionMask, BitsFollowTheirMeaningAndPadWithZeros) {
  test::for_each_device([](Device device) {
    for (const std::int64_t keys : {1, 64, 131, 517}) {
      const std::int64_t pitch = keys + 9, words = (keys + 63) / 64;
      const Tensor wide = test::random_normal({2, 3, pitch}, 2);
      for (std::int64_t i = 0; const float value : {0.f, -1e-7f, -3e-7f, 8e-8f, 1e-7f})
        wide.data<float>()[4 + i++] = value;
      const Tensor there = test::on(wide, device);
      const Tensor logits = Tensor::alias(there, {2, 3, keys}, there.stride(), 4);
      for (const MaskBit meaning : {MaskBit::visible, MaskBit::foreground}) {
        const Tensor bits = test::on(mask_bits(logits, meaning), Device{});
        ASSERT_EQ(bits.size(), (Dims{2, 3, words}));
        for (std::int64_t row = 0; row < 6; ++row)
          for (std::int64_t t = 0; t < words * 64; ++t) {
            const bool bit = bits.data<std::uint64_t>()[row * words + t / 64] >> (t % 64) & 1;
            const float s = t < keys ? sigmoid(wide.data<float>()[4 + row * pitch + t]) : 0;
            EXPECT_EQ(bit, t < keys && (meaning == MaskBit::visible ? !(s < 0.5f) : s > 0.5f)) << row << ", " << t;
          }
      }
    }
  });
}

TEST(AttentionMask, TheSameOnEveryDevice) {
  for (const Dims& size : {Dims{5, 7}, Dims{16, 20}, Dims{1, 1}}) {  // single bytes, four at a time
    const auto fn = [&](const std::vector<Tensor>& in) {
      return std::vector<Tensor>{attention_mask(in[0], size[0], size[1])};
    };
    EXPECT_TRUE(test::same_on_devices(fn, {test::random_normal({2, 3, 8, 12}, 1)})) << size;
  }
}

TEST(AttentionMask, RefusesOtherShapes) {
  EXPECT_THROW((void)attention_mask(Tensor::zeros({3, 4, 4}), 2, 2), ShapeError);
  EXPECT_THROW((void)mask_bits(Tensor::zeros({4, 4}), MaskBit::visible), ShapeError);
  EXPECT_THROW((void)mask_bits(Tensor::zeros({1, 4, 4}, DType::u8), MaskBit::visible), DTypeError);
}

}  // namespace
}  // namespace visage::ops
