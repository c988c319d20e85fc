#include "ops/attention/mask_product.h"

#include "autograd/tape.h"
#include "ops/attention/masked_attention.h"
#include "tensor/error.h"
#include "tests/support/devices.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage::ops {
namespace {

using test::random_normal;

struct Case {
  std::int64_t images, queries, pixels, channels;
  DType dtype = DType::f32;
};

/// One word and many, one pixel, tails of words, queries and channels, rows that are no packets.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Case& c : {Case{2, 11, 131, 32}, Case{1, 1, 1, 8}, Case{1, 70, 64, 16}, Case{2, 3, 200, 13}})
      all.push_back({c.images, c.queries, c.pixels, c.channels, dtype});
  return all;
}

double dot(const Tensor& a, std::int64_t row_a, const Tensor& b, std::int64_t row_b) {
  const std::int64_t channels = a.size(2);
  const auto x = test::values_of(a), y = test::values_of(b);
  double sum = 0;
  for (std::int64_t c = 0; c < channels; ++c) sum += x[row_a * channels + c] * y[row_b * channels + c];
  return sum;
}

TEST(MaskProduct, BitsAreTheSignsOfTheLogits) {
  for (const Case& c : cases()) {
    const Tensor embedding = random_normal({c.images, c.queries, c.channels}, 1, c.dtype);
    const Tensor features = random_normal({c.images, c.pixels, c.channels}, 2, c.dtype);
    const Tensor shift = random_normal({c.images, c.queries, 1}, 3);
    shift.data<float>()[0] = -1000;  // a row without a bit
    std::vector<double> logits;
    for (std::int64_t row = 0; row < c.images * c.queries; ++row)
      for (std::int64_t l = 0; l < c.pixels; ++l)
        logits.push_back(dot(embedding, row, features, row / c.queries * c.pixels + l) + shift.data<float>()[row]);
    test::for_each_device([&](Device device) {
      for (const MaskBit meaning : {MaskBit::visible, MaskBit::foreground}) {
        const Tensor any = Tensor::zeros({c.images, c.queries}, DType::i32, device);
        const Tensor bits = test::on(mask_product_bits(test::on(embedding, device), test::on(shift, device),
                                                       test::on(features, device), meaning, any),
                                     Device{});
        const std::int64_t words = (c.pixels + 63) / 64;
        ASSERT_EQ(bits.size(), (Dims{c.images, c.queries, words}));
        for (std::int64_t row = 0; row < c.images * c.queries; ++row) {
          bool set = false;
          for (std::int64_t l = 0; l < words * 64; ++l) {
            const bool bit = bits.data<std::uint64_t>()[row * words + l / 64] >> (l % 64) & 1;
            set = set || bit;
            if (l >= c.pixels) {
              EXPECT_FALSE(bit) << "beyond the pixels";
            } else if (const double logit = logits[row * c.pixels + l]; std::abs(logit) > 1e-4) {
              EXPECT_EQ(bit, logit > 0) << row << ", " << l;
            }
          }
          EXPECT_EQ(test::on(any, Device{}).data<std::int32_t>()[row] != 0, set) << row;
        }
      }
    });
  }
}

TEST(MaskProduct, TakesTheThresholdsOfMaskBits) {
  test::for_each_device([](Device device) {
    // sigmoid(x) of so small numbers is exactly 0.5: visible, and not foreground.
    const Tensor zeros = test::on(Tensor::zeros({1, 1, 8}), device), shift = test::on(Tensor::zeros({1, 1, 1}), device);
    const auto bit = [&](MaskBit meaning) {
      return test::on(mask_product_bits(zeros, shift, zeros, meaning), Device{}).data<std::int64_t>()[0];
    };
    EXPECT_EQ(bit(MaskBit::visible), 1);
    EXPECT_EQ(bit(MaskBit::foreground), 0);
  });
}

TEST(MaskProduct, FindsTheOnlyBitOfARow) {
  test::for_each_device([](Device device) {
    for (const std::int64_t pixel : {0, 70, 199}) {
      const Tensor features = Tensor::zeros({1, 200, 8}), shift = Tensor::zeros({1, 9, 1});
      features.data<float>()[pixel * 8] = -2;
      const Tensor embedding = Tensor::zeros({1, 9, 8});
      for (int q = 0; q < 9; ++q) {
        embedding.data<float>()[q * 8] = -1;
        shift.data<float>()[q] = -1;
      }
      const Tensor any = Tensor::zeros({1, 9}, DType::i32, device);
      const Tensor bits = test::on(mask_product_bits(test::on(embedding, device), test::on(shift, device),
                                                     test::on(features, device), MaskBit::foreground, any),
                                   Device{});
      for (int q = 0; q < 9; ++q) {
        EXPECT_NE(test::on(any, Device{}).data<std::int32_t>()[q], 0);
        for (int word = 0; word < 4; ++word)
          EXPECT_EQ(bits.data<std::uint64_t>()[q * 4 + word], word == pixel / 64 ? std::uint64_t{1} << pixel % 64 : 0);
      }
    }
  });
}

TEST(MaskProduct, TakesSeveralMapsAtOnce) {
  const Tensor embedding = random_normal({2, 5, 16}, 1), shift = random_normal({2, 5, 1}, 2);
  std::vector<Tensor> maps;
  for (const std::int64_t pixels : {130, 1, 64, 65}) maps.push_back(random_normal({2, pixels, 16}, 3 + pixels));
  test::for_each_device([&](Device device) {
    std::vector<Tensor> there;
    for (const Tensor& map : maps) there.push_back(test::on(map, device));
    const Tensor e = test::on(embedding, device), s = test::on(shift, device);
    const auto together = mask_product_bits(e, s, there, MaskBit::visible);
    ASSERT_EQ(together.size(), maps.size());
    for (std::size_t i = 0; i < maps.size(); ++i)
      EXPECT_EQ(test::values_of(together[i]), test::values_of(mask_product_bits(e, s, there[i], MaskBit::visible)))
          << i;
  });
}

TEST(MaskProduct, TellsAttentionWhichRowsSeeSomething) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const std::int64_t keys : {64, 130, 600}) {
      const auto fn = [&](const std::vector<Tensor>& in) {
        const Tensor any = Tensor::zeros({2, 9}, DType::i32, in[0].device());
        const Tensor bits = mask_product_bits(in[0], in[1], in[2], MaskBit::visible, any);
        AttentionOptions options{.heads = 2, .allowed = bits};
        const Tensor looked = masked_attention(in[0], in[3], in[4], options);
        options.sees_any = any;
        return std::vector{looked, masked_attention(in[0], in[3], in[4], options)};
      };
      const Tensor shift = random_normal({2, 9, 1}, 2);
      for (const int row : {0, 4, 17}) shift.data<float>()[row] = -1000;
      const std::vector<Tensor> in{random_normal({2, 9, 64}, 1), shift, random_normal({2, keys, 64}, 3),
                                   random_normal({2, keys, 64}, 4, dtype), random_normal({2, keys, 64}, 5, dtype)};
      EXPECT_TRUE(test::same_on_devices(fn, in, {.output_tolerance = dtype == DType::f32 ? 1e-5 : 2e-2})) << keys;
      test::for_each_device([&](Device device) {
        std::vector<Tensor> there;
        for (const Tensor& x : in) there.push_back(test::on(x, device));
        const auto out = fn(there);
        EXPECT_EQ(test::values_of(out[0]), test::values_of(out[1]));
      });
    }
}

TEST(MaskProduct, RefusesWhatDoesNotFit) {
  const Tensor e = Tensor::zeros({1, 3, 8}), s = Tensor::zeros({1, 3, 1}), f = Tensor::zeros({1, 5, 8});
  const auto bits = [](const Tensor& embedding, const Tensor& shift, const Tensor& features, const Tensor& any = {}) {
    (void)mask_product_bits(embedding, shift, features, MaskBit::visible, any);
  };
  EXPECT_THROW(bits(e, s, Tensor::zeros({1, 5, 7})), ShapeError);
  EXPECT_THROW((void)mask_product_bits(e, s, std::vector(5, f), MaskBit::visible), ShapeError);
  EXPECT_THROW(bits(e, Tensor::zeros({1, 3}), f), ShapeError);
  EXPECT_THROW(bits(e, s, f, Tensor::zeros({1, 4}, DType::i32)), ShapeError);
  EXPECT_THROW(bits(e, s, f, Tensor::zeros({1, 3})), DTypeError);
  EXPECT_THROW(bits(e, s, Tensor::zeros({1, 5, 8}, DType::bf16)), DTypeError);
  AttentionOptions options{.heads = 1, .sees_any = Tensor::zeros({1, 3}, DType::i32)};
  EXPECT_THROW((void)masked_attention(e, f, f, options), ShapeError);
  autograd::Tape tape;
  const Tensor wanted = Tensor::zeros({1, 3, 8});
  autograd::set_requires_grad(wanted);
  EXPECT_THROW(bits(wanted, s, f), AutogradError);
}

}  // namespace
}  // namespace visage::ops
