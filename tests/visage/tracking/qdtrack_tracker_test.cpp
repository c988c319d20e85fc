#include "visage/tracking/qdtrack_tracker.h"

#include "tests/visage/tracking/constructed_frame.h"

#include <gmock/gmock.h>

#include <cmath>

namespace visage::tracking {
namespace {

using test::ConstructedFrame;
using testing::ElementsAre;
using testing::IsEmpty;

using Queries = std::vector<test::Query>;
using Vector = std::vector<double>;

const Vector kCat = {6, 0, 0}, kDog = {0, 6, 0}, kBird = {0, 0, 6};

std::vector<int> tracks_of(Tracker& tracker, const Queries& queries) {
  return tracker.step(ConstructedFrame(queries)).query_of_track;
}

TEST(QdtrackTracker, StartsWithGoodDetectionsAndGoesOnWithFairOnes) {
  QdtrackTracker tracker({}, 0.75);
  EXPECT_THAT(tracks_of(tracker, {{0.75, kCat}, {0.9, kDog}}), ElementsAre(1));
  EXPECT_THAT(tracks_of(tracker, {{0.85, kCat}, {0.55, kDog}}), ElementsAre(1, 0));
  EXPECT_THAT(tracks_of(tracker, {{0.45, kCat}, {0.9, kDog}}), ElementsAre(1, -1)) << "too unsure to go on";
  EXPECT_THAT(tracks_of(tracker, {{0.6, kCat}, {0.9, kDog}}), ElementsAre(1, 0)) << "back again";
}

TEST(QdtrackTracker, APoorMatchIsDroppedAndLeavesTheTrackToOthers) {
  QdtrackTracker tracker({}, 0.75);
  (void)tracks_of(tracker, {{0.9, kCat}});
  // Greedy serves 0.9 first; it is no cat. The unsure one matches, and is dropped.
  EXPECT_THAT(tracks_of(tracker, {{0.4, kCat}, {0.9, kDog}}), ElementsAre(-1, 1));
}

TEST(QdtrackTracker, ABackdropKeepsWhatResemblesItFromTheTrack) {
  const Vector cat = {1.5, 0}, statue = {2, 1};
  for (const int frames : {0, 1}) {
    QdtrackTracker tracker({.least_match = 0.4, .backdrop_frames = frames}, 0.75);
    EXPECT_THAT(tracks_of(tracker, {{0.9, cat}, {0.6, statue}}), ElementsAre(0)) << "the statue starts no track";
    // The cat is hidden. Its track is all the statue can be, unless the statue is known as a backdrop.
    const int statue_is = frames == 0 ? 0 : -1;
    EXPECT_THAT(tracks_of(tracker, {{0.6, statue}}), ElementsAre(statue_is)) << frames << " backdrop frames";
  }
}

TEST(QdtrackTracker, BackdropsAreForgottenAfterTheirFrames) {
  QdtrackTracker tracker({.least_match = 0.4}, 0.75);
  const Vector cat = {1.5, 0}, statue = {2, 1};
  (void)tracks_of(tracker, {{0.9, cat}, {0.6, statue}});
  EXPECT_THAT(tracks_of(tracker, {{.score = 0.9, .embedding = {-3, 0}, .label = 1}}), ElementsAre(-1, 0));
  EXPECT_THAT(tracks_of(tracker, {{0.6, statue}}), ElementsAre(0, -1)) << "the backdrop was of the frame before last";
}

TEST(QdtrackTracker, OverlappingLeftoversAreNoBackdrops) {
  const Vector cat = {1.5, 0}, statue = {2, 1};
  QdtrackTracker tracker({.nms_iou = 1, .least_match = 0.4}, 0.75);
  EXPECT_THAT(tracks_of(tracker, {{.score = 0.9, .embedding = cat, .begin = 0, .end = 10},
                                  {.score = 0.6, .embedding = statue, .begin = 5, .end = 15}}),
              ElementsAre(0));
  EXPECT_THAT(tracks_of(tracker, {{0.6, statue}}), ElementsAre(0)) << "its IoU with the cat was 1/3";
}

TEST(QdtrackTracker, ClassesDoNotMix) {
  QdtrackTracker tracker({}, 0.75);
  (void)tracks_of(tracker, {{.score = 0.9, .embedding = kCat, .label = 1}});
  EXPECT_THAT(tracks_of(tracker, {{.score = 0.9, .embedding = kCat, .label = 2}}), ElementsAre(-1, 0));
  EXPECT_THAT(tracks_of(tracker, {{.score = 0.9, .embedding = kCat, .label = 1}}), ElementsAre(0, -1));
}

TEST(QdtrackTracker, DuplicatesHaveALimitForGoodAndOneForUnsureDetections) {
  const auto frame = [](double score) {
    return Queries{{.score = 0.95, .embedding = kCat, .begin = 0, .end = 30},
                   {.score = score, .embedding = kDog, .begin = 10, .end = 40}};  // IoU 0.5
  };
  QdtrackTracker tracker({.keep_score = 0.6, .birth_score = 0.3}, 0.75);
  EXPECT_THAT(tracks_of(tracker, frame(0.9)), ElementsAre(0, 1));
  tracker.reset();
  EXPECT_THAT(tracks_of(tracker, frame(0.5)), ElementsAre(0)) << "above 0.3";
  tracker.reset();
  QdtrackTracker strict({.nms_iou = 0.4}, 0.75);
  EXPECT_THAT(tracks_of(strict, frame(0.9)), ElementsAre(0));
}

TEST(QdtrackTracker, AChainOfDuplicatesIsDroppedAltogether) {
  QdtrackTracker tracker({.nms_iou = 0.5}, 0.75);
  EXPECT_THAT(tracks_of(tracker, {{.score = 0.95, .embedding = kCat, .begin = 0, .end = 30},
                                  {.score = 0.9, .embedding = kDog, .begin = 8, .end = 38},
                                  {.score = 0.85, .embedding = kBird, .begin = 16, .end = 46}}),
              ElementsAre(0));
}

TEST(QdtrackTracker, PatienceEnds) {
  for (const int unseen : {1, 2}) {
    QdtrackTracker tracker({.patience = 2}, 0.75);
    (void)tracks_of(tracker, {{0.9, kCat}, {0.85, kDog}});
    for (int t = 0; t < unseen; ++t) (void)tracks_of(tracker, {{0.9, kCat}});
    const std::vector<int> back = tracks_of(tracker, {{0.9, kCat}, {0.85, kDog}});
    if (unseen == 1)
      EXPECT_THAT(back, ElementsAre(0, 1));
    else
      EXPECT_THAT(back, ElementsAre(0, -1, 1));
  }
}

TEST(QdtrackTracker, TheEmbeddingIsAMovingAverage) {
  QdtrackTracker tracker({.momentum = 0.75}, 0.75);
  (void)tracks_of(tracker, {{0.9, {2, 0}}});
  (void)tracks_of(tracker, {{0.9, {0, 1}}});
  // m = (0.5, 0.75); the match of (1, 1) beside (0, 0) is (1 + 1 / (1 + exp(-<(1, 1), m>))) / 2.
  const FrameTracks third = tracker.step(ConstructedFrame({{0.9, {1, 1}}, {0.6, {0, 0}}}));
  EXPECT_THAT(third.query_of_track, ElementsAre(0));
  EXPECT_NEAR(third.similarity, (1 + 1 / (1 + std::exp(-1.25))) / 2, 1e-6);
}

TEST(QdtrackTracker, GreedyLetsTheBestChooseAndHungarianNobody) {
  const Queries first = {{0.95, {6, 0, 0}}, {0.9, {0, 6, 0}}},
                second = {{0.95, {0.5, 0, 0}}, {0.9, {0.5, -1.0 / 6, 0}}};
  for (const auto& [solver, want] : {std::pair{Solver::greedy, std::vector{0, -1, 1}}, {Solver::hungarian, {1, 0}}}) {
    QdtrackTracker tracker({.solver = solver, .least_match = 0.2}, 0.75);
    EXPECT_THAT(tracks_of(tracker, first), ElementsAre(0, 1));
    EXPECT_EQ(tracks_of(tracker, second), want);
  }
}

TEST(QdtrackTracker, RefusesImpossibleOptions) {
  EXPECT_THROW(QdtrackTracker({.momentum = 1.1}, 0), UsageError);
  EXPECT_THROW(QdtrackTracker({.patience = 0}, 0), UsageError);
  EXPECT_THROW(QdtrackTracker({.backdrop_frames = -1}, 0), UsageError);
  QdtrackTracker tracker({}, 0);
  EXPECT_THAT(tracks_of(tracker, {{0.01, kCat}}), IsEmpty());
}

}  // namespace
}  // namespace visage::tracking
