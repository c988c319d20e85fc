#include "visage/experiments/tsne.h"

#include "tensor/cpu/parallel.h"
#include "tensor/error.h"
#include "tests/support/files.h"
#include "visage/pseudo/random.h"

#include <gmock/gmock.h>

#include <cmath>

namespace visage::experiments {
namespace {

constexpr int kClusters = 3, kEach = 20, kDepth = 5;

// Tight clusters far apart, one after the other.
std::vector<float> clusters() {
  pseudo::Random random(3, 0);
  std::vector<float> rows;
  for (int i = 0; i < kClusters * kEach; ++i)
    for (int c = 0; c < kDepth; ++c)
      rows.push_back(static_cast<float>(10.0 * (c == i / kEach) + random.uniform(-0.5, 0.5)));
  return rows;
}

TEST(Tsne, KeepsClustersTogetherAndApart) {
  for (const std::uint64_t seed : {1, 2, 3, 4, 5}) {
    const auto points = tsne(clusters(), kDepth, {.perplexity = 8, .iterations = 400, .seed = seed});
    ASSERT_EQ(points.size(), static_cast<std::size_t>(kClusters * kEach));
    const auto distance = [&](int a, int b) {
      return std::hypot(points[a][0] - points[b][0], points[a][1] - points[b][1]);
    };
    double largest_within = 0, least_between = INFINITY;
    for (int a = 0; a < kClusters * kEach; ++a) {
      for (int b = 0; b < a; ++b) {
        if (a / kEach == b / kEach)
          largest_within = std::max(largest_within, distance(a, b));
        else
          least_between = std::min(least_between, distance(a, b));
      }
    }
    EXPECT_LT(largest_within, least_between) << "seed " << seed;
  }
}

TEST(Tsne, DependsOnTheSeedAndNotOnTheThreads) {
  const std::vector<float> rows = clusters();
  const TsneOptions options{.perplexity = 8, .iterations = 50};
  const auto first = tsne(rows, kDepth, options);
  const int threads = cpu::num_threads();
  cpu::set_num_threads(threads == 1 ? 2 : 1);
  EXPECT_EQ(tsne(rows, kDepth, options), first);
  cpu::set_num_threads(threads);
  EXPECT_NE(tsne(rows, kDepth, {.perplexity = 8, .iterations = 50, .seed = 2}), first);
}

TEST(Tsne, EqualRowsAreNoProblem) {
  for (const auto& point : tsne(std::vector<float>(40 * 2, 1.f), 2, {.perplexity = 5, .iterations = 300}))
    EXPECT_TRUE(std::isfinite(point[0]) && std::isfinite(point[1]));
}

TEST(Tsne, RefusesTooManyAndTooFew) {
  const auto refusal = [](std::int64_t rows) {
    return test::message_of<UsageError>(
        [&] { static_cast<void>(tsne(std::vector<float>(static_cast<std::size_t>(rows)), 1)); });
  };
  EXPECT_THAT(refusal(5001), testing::HasSubstr("5001 points, more than 5000"));
  EXPECT_THAT(refusal(90), testing::HasSubstr("too few for perplexity 30"));
}

}  // namespace
}  // namespace visage::experiments
