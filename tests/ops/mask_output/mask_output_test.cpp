#include "ops/mask_output/mask_output.h"

#include "ops/mask_output/mask_output_kernels.h"
#include "ops/resize/resize.h"
#include "tensor/cpu/features.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace visage::ops {
namespace {

struct Problem {
  ImageSize logits;
  MaskSizes sizes;
};

const std::vector<Problem> kProblems = {
    {{8, 10}, {{32, 40}, {32, 40}, {32, 40}}},    {{8, 16}, {{32, 64}, {29, 53}, {29, 53}}},
    {{8, 16}, {{32, 64}, {29, 53}, {43, 79}}},    {{24, 40}, {{96, 160}, {90, 150}, {135, 225}}},
    {{24, 40}, {{96, 160}, {90, 150}, {37, 61}}}, {{24, 40}, {{96, 160}, {65, 150}, {65, 31}}},
    {{1, 1}, {{4, 4}, {3, 2}, {5, 1}}},           {{9, 7}, {{5, 3}, {5, 3}, {70, 11}}},
    {{33, 20}, {{132, 80}, {1, 80}, {1, 200}}},
};

// Blobs: smooth noise around `level`.
Tensor random_logits(const ImageSize& size, std::int64_t queries) {
  const Tensor coarse = test::random_normal({queries, size.height / 4 + 1, size.width / 4 + 1}, 7, DType::f32, -0.3, 3);
  const Tensor logits = resize_bilinear_planes(coarse, size.height, size.width);
  for (std::int64_t i = 0; i < size.height * size.width; ++i) logits.data<float>()[i] = -1 - static_cast<float>(i % 3);
  return logits;
}

// The two resizings one after the other, as they are defined.
struct TwoSteps {
  Tensor image, output;
};
TwoSteps two_steps(const Tensor& logits, const MaskSizes& sizes) {
  const Tensor padded = resize_bilinear_planes(logits, sizes.padded.height, sizes.padded.width);
  const Tensor window = Tensor::alias(padded, {logits.size(0), sizes.image.height, sizes.image.width}, padded.stride());
  const Tensor image = test::tensor_of(window.size(), test::values_of(window));
  return {image, resize_bilinear_planes(image, sizes.output.height, sizes.output.width)};
}

void expect_equal(const QueryMask& got, const TwoSteps& want, std::int64_t q, const MaskSizes& sizes) {
  const std::int64_t height = sizes.output.height, width = sizes.output.width;
  ASSERT_EQ(std::ssize(got.bits), (height * width + 63) / 64);
  std::int64_t ties = 0;
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) {
      const float logit = want.output.data<float>()[(q * height + y) * width + x];
      const std::int64_t at = x * height + y;
      const bool bit = got.bits[at / 64] >> (at % 64) & 1;
      if (std::abs(logit) < 1e-5f)
        ++ties;  // the order of the roundings decides
      else
        ASSERT_EQ(bit, logit > 0) << "query " << q << ", y " << y << ", x " << x << ", logit " << logit;
    }
  EXPECT_LE(ties, 1 + height * width / 10000);
  for (std::int64_t at = height * width; at < std::ssize(got.bits) * 64; ++at)
    ASSERT_FALSE(got.bits[at / 64] >> (at % 64) & 1) << "unused bit " << at;
  const std::int64_t area = sizes.image.height * sizes.image.width;
  double sum = 0;
  std::int64_t count = 0, near = 0;
  for (std::int64_t i = 0; i < area; ++i) {
    const double logit = static_cast<double>(want.image.data<float>()[q * area + i]);
    if (std::abs(logit) < 1e-5) ++near;
    if (logit > 1e-7) ++count, sum += 1 / (1 + std::exp(-logit));
  }
  EXPECT_NEAR(static_cast<double>(got.quality_count), static_cast<double>(count), static_cast<double>(near));
  EXPECT_NEAR(got.quality_sum, sum, 1e-6 * sum + static_cast<double>(near));
}

std::vector<QueryMask> masks_of(const Tensor& logits, const MaskSizes& sizes) {
  const MaskBatch batch = mask_batch(logits, sizes);
  return query_masks({test::on(batch.bits, {}), test::on(batch.quality_sum, {}), test::on(batch.quality_count, {}),
                      test::on(batch.seen, {})});
}

TEST(MaskOutput, FollowsTheTwoStepRule) {
  test::for_each_device([](Device device) {
    for (std::size_t i = 0; i < kProblems.size(); ++i) {
      SCOPED_TRACE("problem " + std::to_string(i));
      const auto& [size, sizes] = kProblems[i];
      const Tensor logits = random_logits(size, 6);
      const TwoSteps want = two_steps(logits, sizes);
      const std::vector<QueryMask> got = masks_of(test::on(logits, device), sizes);
      ASSERT_EQ(got.size(), 6u);
      EXPECT_TRUE(got[0].bits.empty());
      EXPECT_EQ(got[0].quality_count, 0);
      for (std::int64_t q = 1; q < 6; ++q) {
        const std::int64_t area = size.height * size.width;
        const float* from = logits.data<float>() + q * area;
        const bool positive = std::any_of(from, from + area, [](float x) { return x > 0; });
        if (positive)
          expect_equal(got[q], want, q, sizes);
        else
          EXPECT_TRUE(got[q].bits.empty());
      }
    }
  });
}

TEST(MaskOutput, UnseenQueriesHaveClearedBits) {
  const auto& [size, sizes] = kProblems[2];
  const Tensor logits = random_logits(size, 5);
  const std::vector<QueryMask> masks = masks_of(logits, sizes);
  test::for_each_device([&, sizes = sizes](Device device) {
    const MaskBatch batch = mask_batch(test::on(logits, device), sizes);
    const Tensor bits = test::on(batch.bits, {});
    const auto sums = test::values_of(batch.quality_sum), counts = test::values_of(batch.quality_count);
    const auto seen = test::values_of(batch.seen);
    for (std::int64_t q = 0; q < logits.size(0); ++q) {
      const auto* row = bits.data<std::uint64_t>() + q * bits.size(1);
      std::vector<std::uint64_t> want = masks[q].bits;
      EXPECT_EQ(seen[q], !want.empty());
      want.resize(bits.size(1));
      EXPECT_EQ(std::vector<std::uint64_t>(row, row + bits.size(1)), want);
      EXPECT_NEAR(sums[q], masks[q].quality_sum, 1e-6 * masks[q].quality_sum);
      EXPECT_EQ(counts[q], static_cast<double>(masks[q].quality_count));
    }
  });
}

TEST(MaskOutput, BothKernelsAgree) {
  if (!cpu::features().avx512) GTEST_SKIP() << "this CPU has no AVX-512";
  for (const auto& [size, sizes] : kProblems) {
    const Tensor logits = random_logits(size, 3);
    const auto words = static_cast<std::size_t>((sizes.output.height * sizes.output.width + 63) / 64);
    std::vector<std::vector<std::uint64_t>> bits(6, std::vector<std::uint64_t>(words));
    std::vector<MaskOutputRow> rows(6);
    for (int i = 0; i < 6; ++i) rows[i] = {bits[i].data(), 0, 0};
    MaskOutputArgs args{logits.view(),     sizes.padded.height, sizes.padded.width, sizes.image.height,
                        sizes.image.width, sizes.output.height, sizes.output.width, rows.data()};
    mask_output_cpu(args, portable_column_kernels());
    args.rows = rows.data() + 3;
    mask_output_cpu(args, avx512_column_kernels());
    for (int q = 0; q < 3; ++q) {
      EXPECT_EQ(bits[q], bits[q + 3]);
      EXPECT_EQ(rows[q].quality_count, rows[q + 3].quality_count);
      EXPECT_NEAR(rows[q].quality_sum, rows[q + 3].quality_sum, 1e-6 * rows[q].quality_sum);
    }
  }
}

TEST(MaskOutput, RefusesImpossibleSizes) {
  const Tensor logits = Tensor::zeros({2, 4, 4});
  EXPECT_THROW((void)mask_batch(logits, {{16, 16}, {17, 16}, {17, 16}}), ShapeError);
  EXPECT_THROW((void)mask_batch(logits, {{16, 16}, {16, 16}, {0, 16}}), ShapeError);
  EXPECT_THROW((void)mask_batch(Tensor::zeros({4, 4}), {{16, 16}, {16, 16}, {16, 16}}), ShapeError);
  EXPECT_THROW((void)mask_batch(Tensor::zeros({2, 4, 4}, DType::u8), {{16, 16}, {16, 16}, {16, 16}}), DTypeError);
}

}  // namespace
}  // namespace visage::ops
