#include "ops/loss/contrastive_loss.h"

#include "tests/support/allclose.h"
#include "tests/support/devices.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <cmath>

namespace visage::ops {
namespace {

using test::allclose;
using test::random_normal;

const Tensor kOne = test::tensor_of({1}, std::vector<double>{1});

std::vector<std::int64_t> integers(const Tensor& x) {
  return {x.data<std::int64_t>(), x.data<std::int64_t>() + x.numel()};
}

// The recorded index lists of every video, without the instances that are marked invalid.
std::vector<AnchorPair> recorded_pairs(const test::GoldenFile& golden, std::int64_t videos) {
  std::vector<AnchorPair> pairs;
  for (std::int64_t v = 0; v < videos; ++v) {
    const auto list = [&](const char* name) {
      return integers(golden.load("contrastive/in/" + std::string(name) + "/" + std::to_string(v)));
    };
    const auto key = list("key_idx"), reference = list("ref_idx"), valid = list("valid");
    AnchorPair pair{.key_frame = v, .reference_frame = v};
    for (std::size_t i = 0; i < valid.size(); ++i) {
      if (!valid[i]) continue;
      pair.key_index.push_back(key[i]);
      pair.reference_index.push_back(reference[i]);
    }
    pairs.push_back(pair);
  }
  return pairs;
}

void check_recorded(const std::string& op, const test::GoldenFile& golden, const std::vector<AnchorPair>& pairs) {
  const std::vector<Tensor> inputs = {golden.load(op + "/in/key"), golden.load(op + "/in/ref")};
  EXPECT_TRUE(golden.matches(op + "/out/loss_reid", contrastive_loss(inputs[0], inputs[1], pairs, 1)));
  EXPECT_TRUE(golden.matches(op + "/out/loss_aux", cosine_loss(inputs[0], inputs[1], pairs, 1)));
  // The recorded gradient is that of both losses together.
  const auto of = [&](auto loss, const char* up) {
    const auto fn = [&](std::span<const Tensor> in) { return loss(in[0], in[1], pairs, 1); };
    return test::gradients(fn, inputs, {true, true}, golden.load(op + "/up/" + up));
  };
  const auto reid = of(contrastive_loss, "loss_reid"), aux = of(cosine_loss, "loss_aux");
  for (int i = 0; i < 2; ++i) {
    std::vector<double> sum = test::values_of(reid[i]);
    const std::vector<double> added = test::values_of(aux[i]);
    for (std::size_t e = 0; e < sum.size(); ++e) sum[e] += added[e];
    EXPECT_TRUE(golden.matches(op + (i ? "/grad/ref" : "/grad/key"), test::tensor_of(inputs[i].size(), sum)));
  }
}

TEST(ContrastiveLossGolden, EqualsTheRecordedNumbersAndGradients) {
  const test::GoldenFile golden("ops.safetensors");
  check_recorded("contrastive", golden, recorded_pairs(golden, golden.load("contrastive/in/key").size(0)));
  AnchorPair all;
  for (std::int64_t i = 0; i < golden.load("contrastive_full5/in/key").size(1); ++i) {
    all.key_index.push_back(i);
    all.reference_index.push_back(i);
  }
  check_recorded("contrastive_full5", golden, {all});
}

std::vector<AnchorPair> some_pairs() {
  return {{0, 1, {4, 0, 3}, {1, 2, 0}}, {1, 1, {2}, {3}}, {1, 0, {}, {}}, {0, 0, {1, 1}, {2, 4}}};
}

TEST(ContrastiveLoss, GradientsAreTheDerivatives) {
  const auto pairs = some_pairs();
  for (const auto loss : {contrastive_loss, cosine_loss}) {
    const auto two = [&](std::span<const Tensor> in) { return loss(in[0], in[1], pairs, 6); };
    EXPECT_TRUE(test::gradcheck(two, {random_normal({2, 5, 8}, 1), random_normal({2, 6, 8}, 2)}));
    const auto one = [&](std::span<const Tensor> in) { return loss(in[0], in[0], pairs, 6); };
    EXPECT_TRUE(test::gradcheck(one, {random_normal({2, 5, 8}, 1)})) << "one tensor";
  }
}

/// `frames` pairs of frames with up to `most` instances in common, rows of 50 queries, some of them more than once.
std::vector<AnchorPair> many_pairs(std::int64_t frames, std::int64_t most) {
  std::vector<AnchorPair> pairs;
  for (std::int64_t t = 1; t < frames; ++t) {
    pairs.push_back({.key_frame = t - 1, .reference_frame = t, .key_index = {}, .reference_index = {}});
    for (std::int64_t i = 0; i < most - 20 * (t - 1); ++i) {
      pairs.back().key_index.push_back(7 * i % 50);
      pairs.back().reference_index.push_back((3 * i + t) % 50);
    }
  }
  return pairs;
}

TEST(ContrastiveLoss, TheSameOnEveryDevice) {
  for (const auto loss : {contrastive_loss, cosine_loss}) {
    const auto compare = [&](const std::vector<AnchorPair>& pairs, const std::vector<Tensor>& inputs) {
      const auto fn = [&](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{loss(in[0], in.back(), pairs, 3.5)};
      };
      if (inputs.size() == 1) return test::same_on_devices(fn, inputs, {.gradients_of = {0}});
      return test::same_on_devices(fn, inputs, {.gradients_of = {0, 1}});
    };
    const auto x = [](std::int64_t frames, std::int64_t queries, std::int64_t channels, std::uint64_t seed) {
      return random_normal({frames, queries, channels}, seed, DType::f32, 0, 0.5);
    };
    EXPECT_TRUE(compare(some_pairs(), {x(2, 5, 8, 1), x(2, 6, 8, 2)}));
    EXPECT_TRUE(compare(some_pairs(), {x(2, 5, 19, 3)})) << "one tensor";
    EXPECT_TRUE(compare({{0, 0, {0}, {0}}}, {x(1, 1, 1, 4), x(1, 1, 1, 5)})) << "one number";
    EXPECT_TRUE(compare(many_pairs(3, 40), {x(3, 50, 33, 6)})) << "several tiles, rows of several pairs";
    EXPECT_TRUE(compare({{0, 0, {0, 1}, {1, 0}}}, {x(1, 2, 300, 7), x(1, 2, 300, 8)})) << "several blocks of channels";
    EXPECT_TRUE(compare({{0, 0, {}, {}}}, {x(1, 2, 4, 9), x(1, 2, 4, 10)})) << "no anchor";
    EXPECT_TRUE(compare({}, {x(1, 2, 4, 9), x(1, 2, 4, 10)})) << "no pair";
    EXPECT_TRUE(compare(some_pairs(), {Tensor::zeros({2, 5, 8}), x(2, 6, 8, 2)})) << "zero vectors";
    const Tensor tiny = random_normal({2, 5, 8}, 11, DType::f32, 0, 2e-13);
    EXPECT_TRUE(compare(some_pairs(), {tiny, x(2, 6, 8, 2)})) << "norms below their bound";
  }
}

TEST(ContrastiveLoss, MoreAnchorsThanABlockHasThreads) {
  const Tensor key = random_normal({1, 50, 4}, 1), reference = random_normal({1, 50, 4}, 2);
  AnchorPair pair;
  for (std::int64_t i = 0; i < 300; ++i) {
    pair.key_index.push_back(i % 50);
    pair.reference_index.push_back(i * 3 % 50);
  }
  for (const auto loss : {contrastive_loss, cosine_loss}) {
    const auto fn = [&](const std::vector<Tensor>& in) {
      return std::vector<Tensor>{loss(in[0], in[1], std::span(&pair, 1), 300)};
    };
    EXPECT_TRUE(test::same_on_devices(fn, {key, reference}, {.gradients_of = {0, 1}}));
  }
}

TEST(ContrastiveLoss, IsTheFormThatSubtractsTheOwnProduct) {
  const Tensor key = random_normal({1, 3, 4}, 1), reference = random_normal({1, 3, 4}, 2);
  const AnchorPair pair{0, 0, {0, 1, 2}, {2, 0, 1}};
  double want = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto product = [&](std::size_t j) {
      double sum = 0;
      for (std::int64_t c = 0; c < 4; ++c)
        sum += static_cast<double>(key.data<float>()[pair.key_index[i] * 4 + c]) *
               static_cast<double>(reference.data<float>()[pair.reference_index[j] * 4 + c]);
      return sum;
    };
    double sum = 1;
    for (std::size_t j = 0; j < 3; ++j)
      if (j != i) sum += std::exp(product(j) - product(i));
    want += std::log(sum);
  }
  EXPECT_TRUE(allclose(contrastive_loss(key, reference, std::span(&pair, 1), 3),
                       test::tensor_of({1}, std::vector<double>{want / 3})));
}

TEST(ContrastiveLoss, ASingleInstanceHasNothingToContrast) {
  const AnchorPair pair{0, 0, {1}, {2}};
  EXPECT_EQ(test::values_of(
                contrastive_loss(random_normal({1, 3, 4}, 1), random_normal({1, 3, 4}, 2), std::span(&pair, 1), 1))[0],
            0);
}

TEST(ContrastiveLoss, ExtremeEmbeddingsAreStable) {
  Tensor key = Tensor::zeros({1, 2, 2}), reference = Tensor::zeros({1, 2, 2});
  key.data<float>()[0] = key.data<float>()[2] = 100;  // both point along x
  reference.data<float>()[0] = 100, reference.data<float>()[2] = -100;
  const AnchorPair pair{0, 0, {0, 1}, {0, 1}};
  const auto fn = [&](std::span<const Tensor> in) { return contrastive_loss(in[0], in[1], std::span(&pair, 1), 1); };
  test::for_each_device([&](Device device) {
    const std::vector<Tensor> inputs{test::on(key, device), test::on(reference, device)};
    // Anchor 0 is right by 2e4, anchor 1 wrong by 2e4.
    EXPECT_EQ(test::values_of(fn(inputs))[0], 2e4);
    const auto got = test::gradients(fn, inputs, {true, true}, test::on(kOne, device));
    EXPECT_EQ(test::values_of(got[0]), (std::vector<double>{0, 0, 200, 0}));
    EXPECT_EQ(test::values_of(got[1]), (std::vector<double>{100, 0, -100, 0}));
  });
}

TEST(ContrastiveLoss, ZeroVectorsStayFinite) {
  const Tensor zeros = Tensor::zeros({1, 2, 4});
  const AnchorPair pair{0, 0, {0, 1}, {0, 1}};
  EXPECT_EQ(test::values_of(cosine_loss(zeros, zeros, std::span(&pair, 1), 2))[0], 0.5);
  const auto fn = [&](std::span<const Tensor> in) { return cosine_loss(in[0], in[1], std::span(&pair, 1), 2); };
  for (const Tensor& g : test::gradients(fn, {zeros, Tensor::zeros({1, 2, 4})}, {true, true}, kOne))
    EXPECT_EQ(test::values_of(g), std::vector<double>(8, 0));
}

TEST(ContrastiveLoss, NoAnchorGivesZero) {
  const std::vector<AnchorPair> pairs = {{0, 0, {}, {}}};
  const std::vector<Tensor> inputs = {random_normal({1, 2, 4}, 1), random_normal({1, 2, 4}, 2)};
  for (const auto loss : {contrastive_loss, cosine_loss}) {
    EXPECT_EQ(test::values_of(loss(inputs[0], inputs[1], pairs, 1))[0], 0);
    EXPECT_EQ(test::values_of(loss(inputs[0], inputs[1], {}, 1))[0], 0);
    const auto fn = [&](std::span<const Tensor> in) { return loss(in[0], in[1], pairs, 1); };
    for (const Tensor& g : test::gradients(fn, inputs, {true, true}, kOne))
      EXPECT_EQ(test::values_of(g), std::vector<double>(8, 0));
  }
}

TEST(ContrastiveLoss, RefusesPartsThatDoNotFit) {
  const Tensor x = Tensor::zeros({2, 3, 4});
  const auto run = [&](const AnchorPair& pair) { (void)contrastive_loss(x, x, std::span(&pair, 1), 1); };
  EXPECT_THROW(run({0, 0, {0, 1}, {0}}), ShapeError);
  EXPECT_THROW(run({0, 2, {0}, {0}}), ShapeError);
  EXPECT_THROW(run({-1, 0, {0}, {0}}), ShapeError);
  EXPECT_THROW(run({0, 0, {3}, {0}}), ShapeError);
  EXPECT_THROW(run({0, 0, {0}, {-1}}), ShapeError);
  EXPECT_THROW((void)cosine_loss(x, Tensor::zeros({2, 3, 5}), {}, 1), ShapeError);
  EXPECT_THROW((void)cosine_loss(x, Tensor::zeros({2, 3, 4}, DType::bf16), {}, 1), DTypeError);
  EXPECT_THROW((void)cosine_loss(x, x, {}, 0), Error);
}

}  // namespace
}  // namespace visage::ops
