#include "ops/track/tracker_step.h"

#include "autograd/tape.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace visage::ops {
namespace {

using test::for_each_device;
using test::random_normal;
using test::tensor_of;
using test::values_of;

TrackerFrame on(const TrackerFrame& frame, Device device) {
  return {test::on(frame.logits, device), test::on(frame.object, device), test::on(frame.appearance, device)};
}

/// Frames in which every slot has a direction of its own, seen in another order and with noise in every frame.
std::vector<TrackerFrame> random_video(const TrackerSizes& sizes, int frames, double noise) {
  const auto shuffled = [&](std::int64_t depth, int t, std::uint64_t seed) {
    const auto rows = values_of(random_normal({sizes.queries, depth}, seed));
    auto values = values_of(random_normal({sizes.queries, depth}, seed + 10 * t + 1, DType::f32, 0, noise));
    for (std::int64_t q = 0; q < sizes.queries; ++q)
      for (std::int64_t d = 0; d < depth; ++d) values[q * depth + d] += rows[(q + 3 * t) % sizes.queries * depth + d];
    return tensor_of({sizes.queries, depth}, values);
  };
  std::vector<TrackerFrame> video;
  for (int t = 0; t < frames; ++t)
    video.push_back({random_normal({sizes.queries, sizes.logits}, 100 + t, DType::f32, 0, 2),
                     shuffled(sizes.object_depth, t, 1), shuffled(sizes.appearance_depth, t, 1000)});
  return video;
}

std::vector<Tensor> results_of(const TrackerState& state) {
  return {state.assignment, state.outcome,       state.logit_sums,       state.similarity,
          state.scores,     state.object_memory, state.appearance_memory};
}

/// Follows the same video on the CPU and on `device` and compares everything after every frame.
void expect_same(const TrackerSizes& sizes, const TrackerStepOptions& options, Device device, int frames = 4) {
  const TrackerState here = make_tracker_state(sizes), there = make_tracker_state(sizes, device);
  int t = 0;
  for (const TrackerFrame& frame : random_video(sizes, frames, 0.3)) {
    tracker_step(here, frame, options);
    tracker_step(there, on(frame, device), options);
    const std::vector<Tensor> want = results_of(here), got = results_of(there);
    for (std::size_t i = 0; i < want.size(); ++i) {
      if (t == 0 && i >= 3) continue;  // there was nothing to compare with yet
      const auto a = values_of(want[i]), b = values_of(got[i]);
      // Of the ring, only the entries of the frames so far.
      const std::size_t count = i == 4 ? std::min<std::size_t>(a.size(), (t + 1) * sizes.queries) : a.size();
      for (std::size_t j = 0; j < count; ++j)
        ASSERT_NEAR(a[j], b[j], i == 0 ? 0 : 2e-6 * (1 + std::abs(a[j]))) << "frame " << t << ", result " << i;
    }
    ++t;
  }
}

TEST(TrackerStep, TheSameOnEveryDevice) {
  for_each_device([](Device device) {
    for (const MemoryWeighting weighting : {MemoryWeighting::paper, MemoryWeighting::release})
      for (const double alpha : {0.0, 0.75, 1.0})
        for (const std::int64_t window : {1, 2, 5}) {
          SCOPED_TRACE(testing::Message() << "alpha " << alpha << ", W " << window);
          expect_same({11, 6, 12, 8, window}, {alpha, weighting}, device);
        }
  });
}

TEST(TrackerStep, AnySize) {
  for_each_device([](Device device) {
    for (const TrackerSizes& sizes :
         {TrackerSizes{1, 2, 1, 1, 1}, {33, 41, 7, 130, 3}, {9, 3, 260, 4, 40}, {5, 2, 8, 0, 2}, {0, 2, 4, 4, 2}}) {
      SCOPED_TRACE(testing::Message() << sizes.queries << " queries");
      expect_same(sizes, {.weighting = MemoryWeighting::release}, device);
    }
    EXPECT_THROW((void)make_tracker_state({4, 2, 4, 4, 0}, device), ShapeError);
    EXPECT_THROW((void)make_tracker_state({4, 1, 4, 4, 1}, device), ShapeError);
  });
}

TEST(TrackerStep, MoreSlotsThanAWarpAssigns) {
  for_each_device([](Device device) { expect_same({130, 2, 4, 4, 2}, {}, device, 2); });
}

double cosine(const Tensor& a, std::int64_t i, const Tensor& b, std::int64_t j) {
  const auto x = values_of(a), y = values_of(b);
  const std::int64_t depth = a.size(1);
  double dot = 0, xx = 0, yy = 0;
  for (std::int64_t d = 0; d < depth; ++d) {
    const double p = x[i * depth + d], q = y[j * depth + d];
    dot += p * q, xx += p * p, yy += q * q;
  }
  return xx == 0 || yy == 0 ? 0 : dot / std::sqrt(xx * yy);
}

/// What the queries of a second frame are to the slots of a first; nothing scales a memory of one frame out of its
/// direction.
std::vector<double> similarity(const std::vector<Tensor>& object, const std::vector<Tensor>& appearance, double alpha,
                               Device device) {
  const std::int64_t queries = object[0].size(0);
  const auto state = make_tracker_state({queries, 2, object[0].size(1), appearance[0].size(1), 1}, device);
  for (int t = 0; t < 2; ++t)
    tracker_step(state, on({Tensor::zeros({queries, 2}), object[t], appearance[t]}, device), {.alpha = alpha});
  return values_of(state.similarity);
}

TEST(TrackerStep, ComparesByABlendOfCosinesOnEveryDevice) {
  for_each_device([](Device device) {
    for (const auto& [queries, depth, other, alpha] : {std::tuple{1, 1, 1, 0.3},
                                                       {5, 7, 3, 0.},
                                                       {5, 3, 257, 1.},
                                                       {16, 8, 12, 0.3},
                                                       {17, 257, 4, 0.5},
                                                       {33, 64, 260, 0.75}}) {
      const std::vector<Tensor> object = {random_normal({queries, depth}, 1), random_normal({queries, depth}, 2)};
      const std::vector<Tensor> appearance = {random_normal({queries, other}, 3), random_normal({queries, other}, 4)};
      const auto got = similarity(object, appearance, alpha, device);
      for (int k = 0; k < queries; ++k)
        for (int q = 0; q < queries; ++q) {
          const double want =
              (1 - alpha) * cosine(object[0], k, object[1], q) + alpha * cosine(appearance[0], k, appearance[1], q);
          EXPECT_NEAR(got[k * queries + q], want, 2e-6) << queries << " x " << depth;
        }
    }
  });
}

TEST(TrackerStep, RowsOfZerosAreSimilarToNothing) {
  const Tensor before = tensor_of({3, 2}, std::vector<double>{0, 0, 3, 4, 1, 0});
  const Tensor now = tensor_of({3, 2}, std::vector<double>{6, 8, 0, 0, -4, 3});
  for_each_device([&](Device device) {
    const auto got = similarity({before, now}, {before, now}, 0.5, device);
    for (const int zero : {0, 1, 2, 4, 7}) EXPECT_EQ(got[zero], 0) << zero;
    EXPECT_NEAR(got[3], 1, 1e-6);
    EXPECT_NEAR(got[5], 0, 1e-6);
    EXPECT_NEAR(got[6], 0.6, 1e-6);
    EXPECT_NEAR(got[8], -0.8, 1e-6);
  });
}

TEST(TrackerStep, TheLengthOfAnEmbeddingDoesNotMatter) {
  const Tensor tiny = tensor_of({2, 2}, std::vector<double>{3e-30, 4e-30, -4e-30, 3e-30});
  const Tensor huge = tensor_of({2, 2}, std::vector<double>{3e30, 4e30, -4e30, 3e30});
  for_each_device([&](Device device) {
    for (const auto& rows : {std::vector{tiny, huge}, {huge, tiny}, {huge, huge}}) {
      const auto got = similarity(rows, rows, 0.5, device);
      for (int i = 0; i < 4; ++i) EXPECT_NEAR(got[i], i == 0 || i == 3 ? 1 : 0, 1e-6) << i;
    }
  });
}

/// One channel, two queries; the embedding of frame t is given by the caller, so that the memory shows its weights.
class Weights {
 public:
  Weights(std::int64_t window, MemoryWeighting weighting, Device device)
      : state_(make_tracker_state({2, 2, 1, 1, window}, device)), weighting_(weighting), device_(device) {}

  /// The memory that a frame of these scores and embeddings is compared with.
  std::vector<double> step(double embedding, double score) {
    // Against "no object" at 0, a class has the probability `score` for this logit.
    const auto logit = [](double p) { return std::log(p / (1 - p)); };
    const Tensor logits = tensor_of({2, 2}, std::vector{logit(score), 0.0, logit(score / 2), 0.0});
    const Tensor rows = tensor_of({2, 1}, std::vector{embedding, -2 * embedding});
    tracker_step(state_, on({logits, rows, rows}, device_), {.alpha = 0.5, .weighting = weighting_});
    EXPECT_EQ(values_of(state_.assignment), (std::vector<double>{0, 1}));
    return values_of(state_.object_memory);
  }
  void reset() { reset_tracker(state_); }

 private:
  TrackerState state_;
  MemoryWeighting weighting_;
  Device device_;
};

TEST(TrackerStep, ThePaperWeighsTheNewestMost) {
  for_each_device([](Device device) {
    Weights video(4, MemoryWeighting::paper, device);
    video.step(1, 0.5);
    EXPECT_NEAR(video.step(10, 0.25)[0], 0.5 * 4, 1e-6);
    // Newest first: s W / w with the constant W = 4.
    const auto memory = video.step(1, 0.5);
    EXPECT_NEAR(memory[0], 10 * 0.25 * 4 / 1 + 1 * 0.5 * 4 / 2, 1e-5);
    EXPECT_NEAR(memory[1], -20 * 0.125 * 4 / 1 - 2 * 0.25 * 4 / 2, 1e-5);
  });
}

TEST(TrackerStep, TheReleaseWeighsTheNewestLeastAndNormalises) {
  for_each_device([](Device device) {
    Weights video(4, MemoryWeighting::release, device);
    video.step(1, 0.5);
    EXPECT_NEAR(video.step(10, 0.25)[0], 1, 1e-6);
    // w/n + s with n = 2 stored frames, over their sum.
    const double newest = 1.0 / 2 + 0.25, oldest = 2.0 / 2 + 0.5;
    EXPECT_NEAR(video.step(1, 0.5)[0], (10 * newest + oldest) / (newest + oldest), 1e-5);
  });
}

TEST(TrackerStep, ForgetsWhatLeavesTheWindowAndWhatWasBeforeAReset) {
  for_each_device([](Device device) {
    Weights two(2, MemoryWeighting::paper, device);
    for (const double embedding : {1000.0, 100.0, 1.0, 10.0, 4.0}) two.step(embedding, 0.5);
    EXPECT_NEAR(two.step(1, 0.5)[0], 0.5 * (4 * 2 + 10 * 1), 1e-5);
    two.reset();
    two.step(7, 0.5);
    EXPECT_NEAR(two.step(1, 0.5)[0], 0.5 * 7 * 2, 1e-5);
    Weights one(1, MemoryWeighting::release, device);
    for (const double embedding : {1000.0, 3.0}) one.step(embedding, 0.5);
    EXPECT_NEAR(one.step(1, 0.5)[0], 3, 1e-6);
  });
}

TEST(TrackerStep, RefusesAFrameThatIsNotFiniteAndStaysAsItWas) {
  for_each_device([](Device device) {
    const TrackerSizes sizes{12, 4, 8, 8, 2};
    const std::vector<TrackerFrame> video = random_video(sizes, 3, 0.2);
    const TrackerState state = make_tracker_state(sizes, device), plain = make_tracker_state(sizes, device);
    const auto with = [](const Tensor& x, double value) {
      auto values = values_of(x);
      values[values.size() - 3] = value;
      return tensor_of(x.size(), values);
    };
    const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
    const std::vector<std::pair<TrackerFrame, int>> bad{
        {{with(video[1].logits, nan), video[1].object, video[1].appearance}, kLogitsNotFinite},
        {{video[1].logits, with(video[1].object, infinity), video[1].appearance}, kObjectNotFinite},
        {{video[1].logits, with(video[1].object, nan), with(video[1].appearance, -infinity)},
         kObjectNotFinite | kAppearanceNotFinite}};
    for (const TrackerFrame& frame : video) {
      for (const auto& [refused, why] : bad) {
        tracker_step(state, on(refused, device));
        EXPECT_EQ(values_of(state.outcome)[1], why);
        EXPECT_EQ(values_of(state.assignment), std::vector<double>(12, -1));
      }
      tracker_step(state, on(frame, device));
      tracker_step(plain, on(frame, device));
      EXPECT_EQ(values_of(state.outcome), values_of(plain.outcome));
      EXPECT_EQ(values_of(state.assignment), values_of(plain.assignment));
      EXPECT_EQ(values_of(state.logit_sums), values_of(plain.logit_sums));
    }
  });
}

TEST(TrackerStep, RefusesASimilarityThatIsNotFinite) {
  for_each_device([](Device device) {
    const TrackerSizes sizes{3, 2, 4, 4, 2};
    const TrackerState state = make_tracker_state(sizes, device);
    // Finite embeddings whose weighted sum is not.
    const TrackerFrame huge{tensor_of({3, 2}, std::vector<double>{9, 0, 9, 0, 9, 0}),
                            random_normal({3, 4}, 1, DType::f32, 3e38, 1e36), random_normal({3, 4}, 2)};
    for (int t = 0; t < 2; ++t) tracker_step(state, on(huge, device));
    EXPECT_EQ(values_of(state.outcome)[1], kSimilarityNotFinite);
    EXPECT_EQ(values_of(state.assignment), std::vector<double>(3, -1));
  });
}

TEST(TrackerStep, RefusesWhatDoesNotFit) {
  const TrackerSizes sizes{3, 2, 4, 5, 2};
  const TrackerState state = make_tracker_state(sizes);
  const TrackerFrame good = random_video(sizes, 1, 0.1)[0];
  EXPECT_THROW(tracker_step({}, good), ShapeError);
  EXPECT_THROW(tracker_step(state, {}), ShapeError);
  EXPECT_THROW(tracker_step(state, {good.logits, good.appearance, good.appearance}), ShapeError);
  EXPECT_THROW(tracker_step(state, {test::converted(good.logits, DType::bf16), good.object, good.appearance}),
               DTypeError);
  EXPECT_THROW(tracker_step(state, good, {.alpha = 1.5}), Error);
  EXPECT_THROW(tracker_step(state, good, {.alpha = std::nan("")}), Error);
  const autograd::Tape tape;
  autograd::set_requires_grad(good.object);
  EXPECT_THROW(tracker_step(state, good), AutogradError);
}

}  // namespace
}  // namespace visage::ops
