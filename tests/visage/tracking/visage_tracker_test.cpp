#include "visage/tracking/visage_tracker.h"

#include "ops/shape/views.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <limits>

namespace visage::tracking {
namespace {

using test::for_each_device;
using test::random_normal;

struct Scene {
  std::int64_t queries = 12, depth = 16, classes = 5;
  Tensor object = random_normal({queries, depth}, 1), appearance = random_normal({queries, depth}, 2);

  /// The objects in another query order, seen with some noise.
  FrameQueries frame(const std::vector<int>& object_of_query, std::uint64_t seed) const {
    return {.logits = random_normal({queries, classes + 1}, seed),
            .object = shuffled(object, object_of_query, seed + 1),
            .appearance = shuffled(appearance, object_of_query, seed + 2)};
  }

  static Tensor shuffled(const Tensor& x, const std::vector<int>& rows, std::uint64_t seed) {
    const Tensor out = random_normal(x.size(), seed, DType::f32, 0, 0.1);
    for (std::int64_t i = 0; i < x.size(0); ++i)
      for (std::int64_t d = 0; d < x.size(1); ++d)
        out.data<float>()[i * x.size(1) + d] += x.data<float>()[rows[i] * x.size(1) + d];
    return out;
  }
};

FrameQueries on(const FrameQueries& frame, Device device) {
  return {test::on(frame.logits, device), test::on(frame.object, device), test::on(frame.appearance, device)};
}

std::vector<int> rotated(std::int64_t count, std::int64_t by) {
  std::vector<int> rows(count);
  for (std::int64_t i = 0; i < count; ++i) rows[i] = static_cast<int>((i + by) % count);
  return rows;
}

TEST(VisageTracker, FollowsObjectsThroughAnyOrder) {
  const Scene scene;
  for_each_device([&](Device device) {
    for (const MemoryWeighting weighting : {MemoryWeighting::paper, MemoryWeighting::release}) {
      VisageTracker tracker({.alpha = 0.5, .window = 3, .weighting = weighting});
      for (int t = 0; t < 8; ++t) {
        const FrameTracks tracks = tracker.step(on(scene.frame(rotated(scene.queries, 5 * t), 10 * t), device));
        for (std::int64_t slot = 0; slot < scene.queries; ++slot) {
          const std::int64_t want = (slot + 7 * t * scene.queries - 5 * t) % scene.queries;
          EXPECT_EQ(tracks.query_of_track[slot], want) << "frame " << t;
        }
        if (t == 0)
          EXPECT_EQ(tracks.similarity, 0);
        else
          EXPECT_GT(tracks.similarity, 0.9 * static_cast<double>(scene.queries));
      }
    }
  });
}

TEST(VisageTracker, AlphaChoosesTheEvidence) {
  const Scene scene;
  const FrameQueries first = scene.frame(rotated(scene.queries, 0), 1);
  FrameQueries second = scene.frame(rotated(scene.queries, 1), 5);
  second.appearance = scene.frame(rotated(scene.queries, 2), 9).appearance;
  for (const auto& [alpha, shift] : {std::pair{0.0, 1}, {1.0, 2}}) {
    VisageTracker tracker({.alpha = alpha});
    EXPECT_EQ(tracker.step(first).query_of_track, rotated(scene.queries, 0));
    EXPECT_EQ(tracker.step(second).query_of_track, rotated(scene.queries, scene.queries - shift));
  }
}

TEST(VisageTracker, ResetStartsAnotherVideo) {
  const Scene scene, smaller{.queries = 7};
  for_each_device([&](Device device) {
    VisageTracker tracker;
    const FrameQueries a = on(scene.frame(rotated(scene.queries, 0), 1), device);
    const FrameQueries b = on(scene.frame(rotated(scene.queries, 3), 2), device);
    (void)tracker.step(a);
    const FrameTracks once = tracker.step(b);
    for (const bool other_sizes : {false, true}) {
      tracker.reset();
      EXPECT_FALSE(tracker.object_memory());
      if (other_sizes) {
        EXPECT_EQ(tracker.step(on(smaller.frame(rotated(7, 0), 3), device)).query_of_track, rotated(7, 0));
        tracker.reset();
      }
      EXPECT_EQ(tracker.step(a).query_of_track, rotated(scene.queries, 0));
      const FrameTracks again = tracker.step(b);
      EXPECT_EQ(once.query_of_track, again.query_of_track);
      EXPECT_EQ(once.similarity, again.similarity);
    }
  });
}

TEST(VisageTracker, EmbeddingsOfZeroNormAreMatchedLast) {
  const Scene scene;
  VisageTracker tracker({.alpha = 0.5});
  const FrameQueries first = scene.frame(rotated(scene.queries, 0), 1),
                     second = scene.frame(rotated(scene.queries, 2), 2);
  for (const FrameQueries* frame : {&first, &second})
    for (std::int64_t d = 0; d < scene.depth; ++d) {
      const std::int64_t query = frame == &first ? 4 : 2;  // object 4 in both
      frame->object.data<float>()[query * scene.depth + d] = 0;
      frame->appearance.data<float>()[query * scene.depth + d] = 0;
    }
  (void)tracker.step(first);
  const FrameTracks tracks = tracker.step(second);
  EXPECT_EQ(tracks.query_of_track, rotated(scene.queries, scene.queries - 2));
  EXPECT_GT(tracks.similarity, 0.9 * static_cast<double>(scene.queries - 1));
}

TEST(VisageTracker, RefusesWhatCannotBeTracked) {
  EXPECT_THROW(VisageTracker({.alpha = 1.01}), UsageError);
  EXPECT_THROW(VisageTracker({.alpha = std::numeric_limits<double>::quiet_NaN()}), UsageError);
  EXPECT_THROW(VisageTracker({.window = 0}), UsageError);

  const Scene scene, smaller{.queries = 4};
  for_each_device([&](Device device) {
    VisageTracker tracker;
    const FrameQueries good = on(scene.frame(rotated(scene.queries, 0), 1), device);
    (void)tracker.step(good);
    const FrameTracks reference = [&] {
      VisageTracker other;
      (void)other.step(good);
      return other.step(good);
    }();
    FrameQueries bad = scene.frame(rotated(scene.queries, 0), 2);
    bad.appearance.data<float>()[17] = std::numeric_limits<float>::infinity();
    EXPECT_THROW((void)tracker.step(on(bad, device)), Error);
    bad = good;
    bad.appearance = ops::narrow(good.appearance, 0, 0, scene.queries - 1);
    EXPECT_THROW((void)tracker.step(bad), ShapeError);
    EXPECT_THROW((void)tracker.step({}), ShapeError);
    EXPECT_THROW((void)tracker.step(on(smaller.frame(rotated(4, 0), 1), device)), ShapeError);
    // None of the refused frames left a trace.
    EXPECT_EQ(tracker.step(good).similarity, reference.similarity);
  });
}

}  // namespace
}  // namespace visage::tracking
