#include "ops/mask_pool/mask_pool.h"

#include "autograd/tape.h"
#include "ops/attention/attention_mask.h"
#include "ops/shape/views.h"
#include "tests/support/allclose.h"
#include "tests/support/devices.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/nchw.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <bit>

namespace visage::ops {
namespace {

using test::allclose;
using test::random_normal;

TEST(MaskPoolGolden, EqualsTheRecordedNumbers) {
  const test::GoldenFile golden("ops.safetensors");
  const Tensor planes = golden.load("mask_pool/in/feats");  // [N,C,H,W]
  const Tensor permuted =
      Tensor::alias(planes, {planes.size(0), planes.size(2), planes.size(3), planes.size(1)},
                    {planes.stride()[0], planes.stride()[2], planes.stride()[3], planes.stride()[1]});
  const Tensor features = test::tensor_of(permuted.size(), test::values_of(permuted));
  const MaskPooled got = mask_pool(features, golden.load("mask_pool/in/masks"));
  EXPECT_TRUE(golden.matches("mask_pool/out/y", got.pooled));
  const Tensor binary = golden.load("mask_pool/out/binary");
  const std::int64_t area = binary.size(2) * binary.size(3);
  for (std::int64_t row = 0; row < got.counts.numel(); ++row) {
    std::int64_t count = 0;
    for (std::int64_t p = 0; p < area; ++p) count += binary.data<std::uint8_t>()[row * area + p];
    EXPECT_EQ(got.counts.data<std::int64_t>()[row], count) << row;
  }
}

TEST(MaskPoolGolden, EqualsTheRecordedGradient) {
  const test::GoldenFile golden("ops.safetensors");
  const Tensor masks = golden.load("mask_pool/in/masks");
  const auto pool = [&](std::span<const Tensor> in) { return mask_pool(in[0], masks).pooled; };
  const Tensor features = test::to_nhwc(golden.load("mask_pool/in/feats"));
  const Tensor got = test::gradients(pool, {features}, {true}, golden.load("mask_pool/up/y"))[0];
  EXPECT_TRUE(golden.matches("mask_pool/grad/feats", test::to_nchw(got)));
}

TEST(MaskPool, GradientsAreTheDerivatives) {
  Tensor masks = random_normal({2, 5, 6, 7}, 3);
  for (std::int64_t i = 0; i < 42; ++i) masks.data<float>()[i] = -1;  // an empty mask
  const auto pool = [&](std::span<const Tensor> in) { return mask_pool(in[0], masks).pooled; };
  EXPECT_TRUE(test::gradcheck(pool, {random_normal({2, 3, 4, 5}, 1)}));
  EXPECT_TRUE(test::gradcheck(pool, {random_normal({2, 11, 13, 40}, 1)}));
}

TEST(MaskPool, MasksMustBeDetached) {
  const Tensor features = random_normal({1, 3, 4, 5}, 1), masks = random_normal({1, 2, 6, 7}, 2);
  autograd::set_requires_grad(masks);
  const Tensor outside = mask_pool(features, masks).pooled;
  const autograd::Tape tape;
  EXPECT_THROW((void)mask_pool(features, masks), AutogradError);
  EXPECT_EQ(test::values_of(mask_pool(features, autograd::detach(masks)).pooled), test::values_of(outside));
}

// Sums in double over the set bits.
Tensor by_definition(const Tensor& features, const Tensor& bits, const Tensor& scale, const Tensor& shift) {
  const std::int64_t batch = features.size(0), pixels = features.size(1), channels = features.size(2);
  const std::int64_t queries = bits.size(1), words = bits.size(2);
  const std::vector<double> x = test::values_of(features);
  std::vector<double> result(batch * queries * channels);
  for (std::int64_t row = 0; row < batch * queries; ++row) {
    double count = 0;
    for (std::int64_t p = 0; p < pixels; ++p) {
      if (!(bits.data<std::uint64_t>()[row * words + p / 64] >> (p % 64) & 1)) continue;
      ++count;
      for (std::int64_t c = 0; c < channels; ++c) {
        const std::int64_t n = row / queries;
        const double a = scale ? static_cast<double>(scale.data<float>()[n * channels + c]) : 1;
        const double b = shift ? static_cast<double>(shift.data<float>()[n * channels + c]) : 0;
        result[row * channels + c] += a * x[(n * pixels + p) * channels + c] + b;
      }
    }
    for (std::int64_t c = 0; c < channels; ++c) result[row * channels + c] /= count + 1e-6;
  }
  return test::tensor_of({batch, queries, channels}, result);
}

TEST(MaskPool, AveragesTheFeaturesUnderTheBits) {
  const std::int64_t batch = 2, pixels = 333, queries = 7;
  Tensor logits = random_normal({batch, queries, pixels}, 1);
  for (std::int64_t p = 0; p < pixels; ++p) {
    logits.data<float>()[p] = -1;          // empty
    logits.data<float>()[pixels + p] = 1;  // full
  }
  const Tensor bits = mask_bits(logits, MaskBit::foreground);
  for (const DType type : {DType::f32, DType::bf16})
    for (const std::int64_t channels : {256, 64, 40, 5}) {
      const Tensor wide = random_normal({batch, pixels, channels + 9}, 2, type, 0.5);
      const Tensor features = Tensor::alias(wide, {batch, pixels, channels}, wide.stride(), 3);
      const Tensor scale = random_normal({batch, channels}, 3), shift = random_normal({batch, channels}, 4);
      EXPECT_TRUE(
          allclose(mask_pool_bits(features, bits).pooled, by_definition(features, bits, {}, {}), {.reduced = pixels}));
      const MaskPooled got = mask_pool_bits(features, bits, scale, shift);
      EXPECT_TRUE(allclose(got.pooled, by_definition(features, bits, scale, shift), {.reduced = pixels}));
      for (std::int64_t c = 0; c < channels; ++c) EXPECT_EQ(got.pooled.data<float>()[c], 0.f);
      EXPECT_EQ(got.counts.data<std::int64_t>()[0], 0);
      EXPECT_EQ(got.counts.data<std::int64_t>()[1], pixels);
    }
}

// Several tiles of queries, channels and pixels, whole vectors and not, an empty and a full mask, a single pixel.
TEST(MaskPool, TheSameOnEveryDevice) {
  struct Case {
    Dims features;
    std::int64_t queries, first_channel;
    DType dtype;
  };
  const std::vector<Case> cases = {{{2, 197, 72}, 66, 0, DType::f32},  {{1, 320, 8}, 3, 1, DType::f32},
                                   {{1, 1, 5}, 1, 0, DType::f32},      {{2, 197, 72}, 131, 0, DType::bf16},
                                   {{1, 130, 72}, 3, 0, DType::bf16},  {{1, 70, 9}, 2, 3, DType::bf16},
                                   {{133, 129, 8}, 17, 0, DType::bf16}};  // three tiles of pixels a block
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Case& c = cases[i];
    const std::int64_t batch = c.features[0], pixels = c.features[1], channels = c.features[2];
    Tensor logits = random_normal({batch, c.queries, pixels}, 1);
    for (std::int64_t p = 0; c.queries > 1 && p < pixels; ++p) {
      logits.data<float>()[p] = -1;
      logits.data<float>()[pixels + p] = 1;
    }
    const Tensor wide = random_normal({batch, pixels, channels + 8}, 2, c.dtype);
    const Tensor scale = random_normal({batch, channels + 1}, 3), shift = random_normal({batch, channels + 1}, 4);
    for (const bool affine : {false, true}) {
      const auto fn = [&](const std::vector<Tensor>& in) {
        const Tensor features = narrow(in[0], 2, c.first_channel, channels);
        const auto window = [&](const Tensor& x) { return x ? narrow(x, 1, 1, channels) : x; };
        const MaskPooled got = mask_pool_bits(features, in[1], window(in[2]), window(in[3]));
        return std::vector<Tensor>{got.pooled, got.counts};
      };
      const std::vector<Tensor> inputs = {wide, mask_bits(logits, MaskBit::foreground), affine ? scale : Tensor{},
                                          affine ? shift : Tensor{}};
      EXPECT_TRUE(test::same_on_devices(fn, inputs)) << "case " << i << (affine ? " with scale" : "");
    }
  }
}

TEST(MaskPool, PoolsSeveralMapsAtOnce) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    std::vector<MaskPoolMap> maps;
    for (const std::int64_t pixels : {300, 1, 130}) {
      const auto seed = static_cast<std::uint64_t>(pixels);
      maps.push_back({random_normal({2, pixels, 72}, seed, dtype),
                      mask_bits(random_normal({2, 9, pixels}, seed + 1), MaskBit::foreground)});
    }
    maps[1].scale = random_normal({2, 72}, 5);
    maps[1].shift = random_normal({2, 72}, 6);
    test::for_each_device([&](Device device) {
      std::vector<MaskPoolMap> there;
      for (const MaskPoolMap& map : maps)
        there.push_back({test::on(map.features, device), test::on(map.bits, device),
                         map.scale ? test::on(map.scale, device) : Tensor{},
                         map.shift ? test::on(map.shift, device) : Tensor{}});
      const std::vector<MaskPooled> together = mask_pool_bits(there);
      ASSERT_EQ(together.size(), maps.size());
      for (std::size_t i = 0; i < maps.size(); ++i) {
        const MaskPooled alone = mask_pool_bits(there[i].features, there[i].bits, there[i].scale, there[i].shift);
        EXPECT_EQ(test::values_of(together[i].pooled), test::values_of(alone.pooled)) << i;
        EXPECT_EQ(test::values_of(together[i].counts), test::values_of(alone.counts)) << i;
      }
    });
  }
}

TEST(MaskPool, NoMaskGivesNoRow) {
  const auto fn = [](const std::vector<Tensor>& in) {
    const MaskPooled got = mask_pool_bits(in[0], Tensor::empty({1, 0, 1}, DType::i64, in[0].device()));
    return std::vector<Tensor>{got.pooled, got.counts};
  };
  EXPECT_TRUE(test::same_on_devices(fn, {random_normal({1, 9, 8}, 1)}));
}

TEST(MaskPool, GradientsAreTheSameOnEveryDevice) {
  for (const std::int64_t channels : {72, 5}) {
    Tensor masks = random_normal({2, 66, 6, 7}, 3);
    for (std::int64_t i = 0; i < 42; ++i) masks.data<float>()[i] = -1;  // an empty mask
    const auto fn = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{mask_pool(in[0], in[1]).pooled}; };
    EXPECT_TRUE(test::same_on_devices(fn, {random_normal({2, 7, 10, channels}, 1), masks}, {.gradients_of = {0}}));
  }
}

TEST(MaskPool, RefusesPartsThatDoNotFit) {
  const Tensor features = Tensor::zeros({1, 65, 8}), bits = Tensor::zeros({1, 3, 2}, DType::i64);
  EXPECT_THROW((void)mask_pool_bits(features, Tensor::zeros({1, 3, 1}, DType::i64)), ShapeError);
  EXPECT_THROW((void)mask_pool_bits(features, Tensor::zeros({1, 3, 2})), DTypeError);
  EXPECT_THROW((void)mask_pool_bits(features, bits, Tensor::zeros({1, 8})), ShapeError);
  EXPECT_THROW((void)mask_pool_bits(std::vector<MaskPoolMap>{}), ShapeError);
  EXPECT_THROW((void)mask_pool_bits(std::vector<MaskPoolMap>{
                   {features, bits}, {Tensor::zeros({1, features.size(1), 2 * features.size(2)}), bits}}),
               ShapeError);
  EXPECT_THROW((void)mask_pool_bits(features, bits, Tensor::zeros({1, 7}), Tensor::zeros({1, 7})), ShapeError);
  EXPECT_THROW((void)mask_pool(Tensor::zeros({1, 4, 4, 8}), Tensor::zeros({2, 3, 8, 8})), ShapeError);
}

}  // namespace
}  // namespace visage::ops
