// The trackers of IDOL and CTVIS: what they have in common, and how each remembers.
#include "tests/support/files.h"
#include "tests/visage/tracking/constructed_frame.h"
#include "visage/tracking/ctvis_tracker.h"
#include "visage/tracking/idol_tracker.h"

#include <gmock/gmock.h>

#include <cmath>

namespace visage::tracking {
namespace {

using test::ConstructedFrame;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using visage::test::message_of;

using Queries = std::vector<test::Query>;
using Vector = std::vector<double>;

// Three things that look different; the products of equal ones are large, so that a match is close to 1.
const Vector kCat = {6, 0, 0}, kDog = {0, 6, 0}, kBird = {0, 0, 6};

const BiSoftmaxConfig kConfig{.least_hits = 0};

std::vector<int> tracks_of(Tracker& tracker, const Queries& queries) {
  return tracker.step(ConstructedFrame(queries)).query_of_track;
}

TEST(BiSoftmaxTracker, FollowsDetectionsThroughAnyOrder) {
  IdolTracker idol(kConfig, 0.75);
  CtvisTracker ctvis(kConfig, 0.75);
  for (Tracker* tracker : {static_cast<Tracker*>(&idol), static_cast<Tracker*>(&ctvis)}) {
    EXPECT_THAT(tracks_of(*tracker, {{0.7, kCat}, {0.9, kDog}, {0.8, kBird}}), ElementsAre(1, 2, 0))
        << "tracks start in the order of the scores";
    EXPECT_THAT(tracks_of(*tracker, {{0.7, kDog}, {0.9, kBird}, {0.8, kCat}}), ElementsAre(0, 1, 2));
  }
}

TEST(BiSoftmaxTracker, TracksStartLaterPauseAndComeBack) {
  IdolTracker tracker(kConfig, 0.75);
  EXPECT_THAT(tracks_of(tracker, {{0.9, kCat}, {0.05, kDog}}), ElementsAre(0)) << "too unsure to be a detection";
  EXPECT_THAT(tracks_of(tracker, {{0.15, kDog}, {0.8, kCat}}), ElementsAre(1)) << "a detection that starts no track";
  EXPECT_THAT(tracks_of(tracker, {{0.8, kCat}, {0.7, kDog}}), ElementsAre(0, 1));
  EXPECT_THAT(tracks_of(tracker, {{0.01, kCat}, {0.15, kDog}}), ElementsAre(-1, 1)) << "but one can go on with it";
  EXPECT_THAT(tracks_of(tracker, {{0.9, kBird}, {0.9, kCat}}), ElementsAre(1, -1, 0));
}

TEST(BiSoftmaxTracker, PatienceEnds) {
  for (const int unseen : {2, 3}) {
    BiSoftmaxConfig config = kConfig;
    config.patience = 3;
    CtvisTracker tracker(config, 0.75);
    EXPECT_THAT(tracks_of(tracker, {{0.9, kCat}, {0.8, kDog}}), ElementsAre(0, 1));
    for (int t = 0; t < unseen; ++t) EXPECT_THAT(tracks_of(tracker, {{0.9, kCat}, {0.01, kDog}}), ElementsAre(0, -1));
    const std::vector<int> back = tracks_of(tracker, {{0.9, kCat}, {0.8, kDog}});
    if (unseen < config.patience)
      EXPECT_THAT(back, ElementsAre(0, 1)) << "the same track";
    else
      EXPECT_THAT(back, ElementsAre(0, -1, 1)) << "another one";
  }
}

TEST(BiSoftmaxTracker, DuplicatesAreDroppedByTheirMasks) {
  // Query 1 shows the same object as query 0, query 2 a part of it, query 3 another thing.
  const Queries frame = {{.score = 0.9, .embedding = kCat, .begin = 0, .end = 40},
                         {.score = 0.8, .embedding = kDog, .begin = 4, .end = 40},
                         {.score = 0.7, .embedding = kBird, .begin = 0, .end = 20},
                         {.score = 0.6, .embedding = {4, 4, 4}, .begin = 40, .end = 60}};
  IdolTracker strict(kConfig, 0.75);
  EXPECT_THAT(tracks_of(strict, frame), ElementsAre(0, 2, 3)) << "an IoU of exactly nms_iou stays";
  BiSoftmaxConfig config = kConfig;
  config.nms_iou = 1;
  IdolTracker without(config, 0.75);
  EXPECT_THAT(tracks_of(without, frame), ElementsAre(0, 1, 2, 3));
  const ConstructedFrame constructed(frame);
  FrameQueries blind = constructed;
  blind.masks = {};
  EXPECT_NO_THROW((void)without.step(blind));
  EXPECT_THROW((void)strict.step(blind), ShapeError);
}

TEST(BiSoftmaxTracker, WhatADroppedDuplicateOverlapsStays) {
  IdolTracker tracker(kConfig, 0.75);
  EXPECT_THAT(tracks_of(tracker, {{.score = 0.9, .embedding = kCat, .begin = 0, .end = 30},
                                  {.score = 0.8, .embedding = kDog, .begin = 8, .end = 38},
                                  {.score = 0.7, .embedding = kBird, .begin = 16, .end = 46}}),
              ElementsAre(0, 2));
}

TEST(BiSoftmaxTracker, ADetectionLikeTwoTracksGoesToTheOlderOne) {
  BiSoftmaxConfig config = kConfig;
  config.least_match = 0.2;
  IdolTracker tracker(config, 0.75);
  EXPECT_THAT(tracks_of(tracker, {{0.9, kCat}}), ElementsAre(0));
  for (int t = 0; t < 3; ++t) EXPECT_THAT(tracks_of(tracker, {{0.9, kCat}}), ElementsAre(0));
  EXPECT_THAT(tracks_of(tracker, {{0.9, kCat}, {0.8, kDog}}), ElementsAre(0, 1));
  EXPECT_THAT(tracks_of(tracker, {{0.9, {3, 3.1, 0}}}), ElementsAre(0, -1)) << "5 sightings weigh more than a hair";
}

TEST(BiSoftmaxTracker, GreedyLetsTheBestChooseAndHungarianNobody) {
  // Both are like the cat, and the second one is not at all like the dog: matches 0.73 0.39 / 0.74 0.14.
  const Queries second = {{0.9, {0.5, 0, 0}}, {0.8, {0.5, -1.0 / 6, 0}}};
  const Queries first = {{0.9, {6, 0, 0}}, {0.8, {0, 6, 0}}};
  for (const auto& [solver, want] : {std::pair{Solver::greedy, std::vector{0, 1}}, {Solver::hungarian, {1, 0}}}) {
    BiSoftmaxConfig config = kConfig;
    config.solver = solver;
    config.least_match = 0;
    IdolTracker tracker(config, 0.75);
    EXPECT_THAT(tracks_of(tracker, first), ElementsAre(0, 1));
    EXPECT_EQ(tracks_of(tracker, second), want);
  }
}

TEST(BiSoftmaxTracker, TracksOfFewDetectionsAreNoiseFromTheTenthFrameOn) {
  IdolTracker tracker({.least_hits = 3}, 0.75);
  std::vector<std::vector<int>> noise;
  for (int t = 0; t < 14; ++t) {
    Queries frame = {{0.9, kCat}};
    if (t == 1 || t == 2) frame.push_back({0.8, kDog});   // track 1: two detections
    if (t >= 3 && t <= 5) frame.push_back({0.8, kBird});  // track 2: three
    if (t == 11) frame.push_back({0.8, kDog});            // track 3: one
    noise.push_back(tracker.step(ConstructedFrame(frame)).noise);
  }
  for (int t = 0; t < 14; ++t) {
    if (t == 9)
      EXPECT_THAT(noise[t], ElementsAre(1)) << t;
    else if (t == 13)
      EXPECT_THAT(noise[t], ElementsAre(3)) << t;
    else
      EXPECT_THAT(noise[t], IsEmpty()) << t;
  }
  EXPECT_THAT(tracks_of(tracker, {{0.9, kCat}, {0.8, kDog}}), ElementsAre(0, -1, -1, -1, 1))
      << "noise does not come back";
}

TEST(BiSoftmaxTracker, WhatIsForgottenAfterFewDetectionsIsNoise) {
  IdolTracker tracker({.patience = 2, .least_hits = 2}, 0.75);
  (void)tracks_of(tracker, {{0.9, kCat}, {0.8, kDog}});
  EXPECT_THAT(tracker.step(ConstructedFrame({{0.9, kCat}})).noise, IsEmpty());
  EXPECT_THAT(tracker.step(ConstructedFrame({{0.9, kCat}})).noise, ElementsAre(1));
  (void)tracks_of(tracker, {{0.1, kCat}});
  EXPECT_THAT(tracker.step(ConstructedFrame({{0.1, kCat}})).noise, IsEmpty()) << "three detections";
}

TEST(BiSoftmaxTracker, AFrameWithoutDetectionsHasNoTracks) {
  CtvisTracker tracker({.least_score = 0.5}, 0.75);
  EXPECT_THAT(tracks_of(tracker, {{0.1, kCat}}), IsEmpty());
  EXPECT_THAT(tracks_of(tracker, {{0.9, kCat}}), ElementsAre(0));
  EXPECT_THAT(tracks_of(tracker, {{0.1, kCat}}), ElementsAre(-1));
  tracker.reset();
  EXPECT_THAT(tracks_of(tracker, {{0.9, kDog}}), ElementsAre(0)) << "another video";
}

TEST(BiSoftmaxTracker, RefusesImpossibleOptions) {
  EXPECT_THAT(message_of<UsageError>([] { IdolTracker({.nms_iou = 1.5}, 0); }), HasSubstr("from 0 to 1; got 1.5"));
  EXPECT_THROW(CtvisTracker({.memory = 0}, 0), UsageError);
  EXPECT_THROW(CtvisTracker({.patience = 0}, 0), UsageError);
  EXPECT_THROW(CtvisTracker({.least_hits = -1}, 0), UsageError);
  IdolTracker tracker(kConfig, 0);
  (void)tracks_of(tracker, {{0.9, kCat}});
  EXPECT_THROW((void)tracks_of(tracker, {{0.9, {1, 2}}}), ShapeError) << "embeddings of other channels";
}

// With one track m and detections a, b, of which a is matched, the match is (1 + 1 / (1 + exp(<b - a, m>))) / 2.
double match_of(const Vector& a, const Vector& b, const Vector& m) {
  double difference = 0;
  for (std::size_t d = 0; d < m.size(); ++d) difference += (b[d] - a[d]) * m[d];
  return (1 + 1 / (1 + std::exp(difference))) / 2;
}

// What the tracker says about a frame with the detections a and b, after it saw these alone.
double match_after(Tracker& tracker, const std::vector<std::pair<double, Vector>>& seen, const Vector& a,
                   const Vector& b) {
  for (const auto& [score, embedding] : seen) EXPECT_THAT(tracks_of(tracker, {{score, embedding}}), ElementsAre(0));
  return tracker.step(ConstructedFrame({{0.9, a}, {0.15, b}})).similarity;
}

TEST(IdolTracker, RemembersTheLastSightingsByScoreAndAge) {
  const Vector a = {1, 0.5, 0}, b = {0.2, 0.7, 0};
  const std::vector<std::pair<double, Vector>> seen = {
      {0.9, {9, 9, 9}}, {0.5, {1, 0, 0}}, {0.8, {0, 1, 0}}, {0.25, {1, 1, 0}}};
  IdolTracker tracker(kConfig, 0.75);
  const double w1 = 0.5 + 1.0 / 3, w2 = 0.8 + 2.0 / 3, w3 = 0.25 + 1, sum = w1 + w2 + w3;
  EXPECT_NEAR(match_after(tracker, seen, a, b), match_of(a, b, {(w1 + w3) / sum, (w2 + w3) / sum, 0}), 1e-6);
  BiSoftmaxConfig config = kConfig;
  config.memory = 1;
  IdolTracker forgetful(config, 0.75);
  EXPECT_NEAR(match_after(forgetful, seen, a, b), match_of(a, b, {1, 1, 0}), 1e-6);
}

TEST(CtvisTracker, TrustsASightingAsFarAsItResemblesTheEarlierOnes) {
  const Vector a = {1, 0.5, 0}, b = {0.2, 0.7, 0};
  CtvisTracker tracker(kConfig, 0.75);
  // Cosines with the earlier: 0.6 for the second; 0.8 and 0 for the third; the fourth is opposite to all of them.
  const std::vector<std::pair<double, Vector>> seen = {
      {0.9, {2, 0, 0}}, {0.9, {0.6, 0.8, 0}}, {0.9, {0.8, -0.6, 0}}, {0.9, {-1, 0, 0}}};
  Vector m = {2, 0, 0};
  const auto update = [&](double share, const Vector& e) {
    for (std::size_t d = 0; d < m.size(); ++d) m[d] = (1 - share) * m[d] + share * e[d];
  };
  update(0.6, seen[1].second);
  update(0.4, seen[2].second);
  EXPECT_NEAR(match_after(tracker, seen, a, b), match_of(a, b, m), 1e-6) << "the fourth changes nothing";
}

TEST(CtvisTracker, ComparesWithTheLastSightingsOnly) {
  const Vector a = {1, 0.5, 0}, b = {0.2, 0.7, 0};
  BiSoftmaxConfig config = kConfig;
  config.memory = 1;
  CtvisTracker tracker(config, 0.75);
  const double match = match_after(tracker, {{0.9, {1, 0, 0}}, {0.9, {0, 1, 0}}, {0.9, {0, 2, 0}}}, a, b);
  EXPECT_NEAR(match, match_of(a, b, {0, 2, 0}), 1e-6) << "equal to the sighting before: trusted altogether";
}

}  // namespace
}  // namespace visage::tracking
