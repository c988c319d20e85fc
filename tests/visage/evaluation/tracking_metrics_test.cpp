#include "visage/evaluation/tracking_metrics.h"

#include "tensor/error.h"
#include "tests/visage/evaluation/scene.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage::evaluation {
namespace {

constexpr double kTolerance = 1e-12;

// Objects stand still at column 0, 20, 40, ... for ten frames.
std::vector<std::int64_t> still(std::int64_t first, std::int64_t from = 0, std::int64_t to = 10) {
  std::vector<std::int64_t> at(10, -1);
  std::fill(at.begin() + from, at.begin() + to, first);
  return at;
}

std::vector<std::int64_t> moved(std::int64_t before, std::int64_t after, std::int64_t when) {
  std::vector<std::int64_t> at = still(before);
  std::fill(at.begin() + when, at.end(), after);
  return at;
}

TEST(TrackingMetrics, PerfectTracksScoreOne) {
  Scene scene(10);
  for (const std::int64_t first : {0, 20}) {
    scene.annotate({.at = still(first)});
    scene.predict({.at = still(first)});
  }
  const TrackingMetrics result = scene.evaluate().tracking;
  for (const IdentityMetrics& metrics : {result.class_agnostic, result.class_mean, result.categories.at(0).metrics}) {
    EXPECT_NEAR(metrics.hota, 1, kTolerance);
    EXPECT_NEAR(metrics.det_a, 1, kTolerance);
    EXPECT_NEAR(metrics.ass_a, 1, kTolerance);
    EXPECT_NEAR(metrics.idf1, 1, kTolerance);
    EXPECT_EQ(metrics.id_switches, 0);
    EXPECT_EQ(metrics.truth_masks, 20);
  }
  EXPECT_EQ(result.categories.size(), 1u);
}

TEST(TrackingMetrics, IdentitiesThatSwapHalfway) {
  Scene scene(10);
  scene.annotate({.at = still(0)});
  scene.annotate({.at = still(20)});
  scene.predict({.at = moved(0, 20, 5)});
  scene.predict({.at = moved(20, 0, 5)});
  const IdentityMetrics metrics = scene.evaluate().tracking.class_agnostic;
  // Every mask is found. All four pairs share 5 of 10 + 10 frames: A = 5 / 15.
  EXPECT_NEAR(metrics.det_a, 1, kTolerance);
  EXPECT_NEAR(metrics.ass_a, 1.0 / 3, kTolerance);
  EXPECT_NEAR(metrics.hota, std::sqrt(1.0 / 3), kTolerance);
  EXPECT_NEAR(metrics.idf1, 2 * 10.0 / 40, kTolerance);
  EXPECT_EQ(metrics.id_switches, 2);
}

TEST(TrackingMetrics, MissedFrames) {
  Scene scene(10);
  scene.annotate({.at = still(0)});
  std::vector<std::int64_t> at = still(0);
  at[3] = at[4] = -1;
  scene.predict({.at = at});
  const IdentityMetrics metrics = scene.evaluate().tracking.class_agnostic;
  // 8 true positives, 2 false negatives; A = 8 / (10 + 8 - 8).
  EXPECT_NEAR(metrics.det_a, 0.8, kTolerance);
  EXPECT_NEAR(metrics.ass_a, 0.8, kTolerance);
  EXPECT_NEAR(metrics.hota, 0.8, kTolerance);
  EXPECT_NEAR(metrics.idf1, 16.0 / 18, kTolerance);
  EXPECT_EQ(metrics.id_switches, 0);
}

TEST(TrackingMetrics, ATrackThatIsLostAndStartedAnew) {
  Scene scene(10);
  scene.annotate({.at = still(0)});
  scene.predict({.at = still(0, 0, 4)});
  scene.predict({.at = still(0, 6, 10)});
  const IdentityMetrics metrics = scene.evaluate().tracking.class_agnostic;
  // A = 4 / (10 + 4 - 4) for all of the 8 true positives; the switch spans the gap.
  EXPECT_NEAR(metrics.det_a, 0.8, kTolerance);
  EXPECT_NEAR(metrics.ass_a, 0.4, kTolerance);
  EXPECT_NEAR(metrics.hota, std::sqrt(0.32), kTolerance);
  EXPECT_NEAR(metrics.idf1, 2 * 4.0 / 18, kTolerance);
  EXPECT_EQ(metrics.id_switches, 1);
}

TEST(TrackingMetrics, DuplicateTracksAreFalsePositives) {
  Scene scene(10);
  scene.annotate({.at = still(0)});
  scene.predict({.at = still(0), .score = 0.9});
  scene.predict({.at = still(0), .score = 0.8});
  const IdentityMetrics metrics = scene.evaluate().tracking.class_agnostic;
  EXPECT_NEAR(metrics.det_a, 10.0 / 20, kTolerance);
  EXPECT_NEAR(metrics.ass_a, 1, kTolerance);
  EXPECT_NEAR(metrics.hota, std::sqrt(0.5), kTolerance);
  EXPECT_NEAR(metrics.idf1, 2 * 10.0 / 30, kTolerance);
  EXPECT_EQ(metrics.id_switches, 0);
}

TEST(TrackingMetrics, ARunningMatchIsKeptWhileItsIouAllows) {
  Scene scene(10);
  scene.annotate({.at = still(0)});
  scene.predict({.at = moved(0, 2, 5)});                 // IoU 8 / 12 from frame 5 on
  scene.predict({.at = moved(50, 0, 5), .score = 0.8});  // IoU 1 from frame 5 on
  EXPECT_EQ(scene.evaluate().tracking.class_agnostic.id_switches, 0);
  EXPECT_EQ(scene.evaluate({.min_iou = 0.7}).tracking.class_agnostic.id_switches, 1);
}

TEST(TrackingMetrics, HotaCountsEveryIouThreshold) {
  Scene scene(10);
  scene.annotate({.at = still(0)});
  scene.predict({.at = still(5)});  // IoU 5 / 15: 0.05 to 0.3, six of nineteen thresholds
  const IdentityMetrics metrics = scene.evaluate().tracking.class_agnostic;
  EXPECT_NEAR(metrics.hota, 6.0 / 19, kTolerance);
  EXPECT_NEAR(metrics.det_a, 6.0 / 19, kTolerance);
  EXPECT_NEAR(metrics.ass_a, 6.0 / 19, kTolerance);
  EXPECT_NEAR(metrics.idf1, 0, kTolerance);
}

TEST(TrackingMetrics, HotaMatchesWhatBelongsTogetherInOtherFrames) {
  Scene scene(10);
  scene.annotate({.at = still(0)});
  scene.predict({.at = still(0, 0, 1)});          // the better mask, in the first frame only
  scene.predict({.at = still(1), .score = 0.8});  // IoU 9 / 11 in all ten: sixteen of nineteen thresholds
  const IdentityMetrics metrics = scene.evaluate().tracking.class_agnostic;
  EXPECT_NEAR(metrics.ass_a, 16.0 / 19, kTolerance);
  EXPECT_NEAR(metrics.det_a, 16.0 / 19 * 10 / 11, kTolerance);
}

TEST(TrackingMetrics, AnIouThatEqualsAThresholdReachesIt) {
  Scene scene(10);
  scene.annotate({.at = still(0), .width = 20});
  scene.predict({.at = still(0), .width = 3});  // IoU 0.15: 0.05, 0.1 and 0.15
  EXPECT_NEAR(scene.evaluate().tracking.class_agnostic.det_a, 3.0 / 19, kTolerance);
}

TEST(TrackingMetrics, ClassesAreAveragedAndAgnosticIgnoresThem) {
  Scene scene(10);
  scene.annotate({.at = still(0), .category = 1});
  scene.annotate({.at = still(20), .category = 2});
  scene.predict({.at = still(0), .category = 1});
  scene.predict({.at = still(20), .category = 1});  // the dog, called a cat
  const TrackingMetrics result = scene.evaluate().tracking;
  EXPECT_NEAR(result.class_agnostic.hota, 1, kTolerance);
  ASSERT_EQ(result.categories.size(), 2u);
  EXPECT_NEAR(result.categories[0].metrics.hota, std::sqrt(0.5), kTolerance);
  EXPECT_EQ(result.categories[1].metrics.hota, 0);
  EXPECT_NEAR(result.class_mean.hota, std::sqrt(0.5) / 2, kTolerance);
  EXPECT_NEAR(result.class_mean.idf1, (2 * 10.0 / 30) / 2, kTolerance);
}

TEST(TrackingMetrics, CountsAreSummedOverVideos) {
  Scene scene(10, 2);
  scene.annotate({.at = still(0), .video = 1});
  scene.annotate({.at = still(0), .video = 2});
  scene.predict({.at = still(0), .video = 1});
  scene.predict({.at = still(60), .video = 2});
  const IdentityMetrics metrics = scene.evaluate().tracking.class_agnostic;
  EXPECT_NEAR(metrics.det_a, 10.0 / 30, kTolerance);
  EXPECT_NEAR(metrics.ass_a, 1, kTolerance);
  EXPECT_NEAR(metrics.idf1, 20.0 / 40, kTolerance);
}

TEST(TrackingMetrics, UnlikelyTracksAreLeftOut) {
  Scene scene(10);
  scene.annotate({.at = still(0)});
  scene.predict({.at = still(0), .score = 0.3});
  scene.predict({.at = still(50), .score = 0.29});
  EXPECT_NEAR(scene.evaluate().tracking.class_agnostic.idf1, 1, kTolerance);
  EXPECT_NEAR(scene.evaluate({.min_score = 0.2}).tracking.class_agnostic.idf1, 20.0 / 30, kTolerance);
  EXPECT_THROW(static_cast<void>(scene.evaluate({.min_score = 1.5})), UsageError);
}

TEST(TrackingMetrics, MasksInCrowdRegionsAreLeftOut) {
  Scene scene(10);
  scene.annotate({.at = still(0)});
  scene.annotate({.at = still(0), .width = 50, .is_crowd = true});
  scene.predict({.at = still(0)});                 // on the object, though in the crowd
  scene.predict({.at = still(44), .score = 0.8});  // 6 of 10 columns in the crowd
  EXPECT_NEAR(scene.evaluate().tracking.class_agnostic.idf1, 1, kTolerance);
  scene.predict({.at = still(45), .score = 0.7});  // exactly half: a false positive
  EXPECT_NEAR(scene.evaluate().tracking.class_agnostic.idf1, 20.0 / 30, kTolerance);
}

TEST(TrackingMetrics, NothingAnnotatedGivesNoRatio) {
  Scene scene(10);
  scene.predict({.at = still(0)});
  const TrackingMetrics result = scene.evaluate().tracking;
  EXPECT_EQ(result.class_agnostic.hota, -1);
  EXPECT_EQ(result.class_mean.idf1, -1);
  EXPECT_EQ(result.class_agnostic.predicted_masks, 10);
  EXPECT_TRUE(result.categories.empty());
}

TEST(TrackingMetrics, NothingPredictedGivesZero) {
  Scene scene(10);
  scene.annotate({.at = still(0)});
  const IdentityMetrics metrics = scene.evaluate().tracking.class_agnostic;
  EXPECT_EQ(metrics.hota, 0);
  EXPECT_EQ(metrics.idf1, 0);
}

}  // namespace
}  // namespace visage::evaluation
