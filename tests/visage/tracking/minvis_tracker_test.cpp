#include "visage/tracking/minvis_tracker.h"

#include "tests/visage/tracking/constructed_frame.h"

#include <gmock/gmock.h>

namespace visage::tracking {
namespace {

using test::ConstructedFrame;
using testing::ElementsAre;

const ConstructedFrame kFirst({{.score = 0.9, .embedding = {1, 0, 0}},
                               {.score = 0.8, .embedding = {0, 1, 0}},
                               {.score = 0.1, .embedding = {0, 0, 1}}});

std::vector<int> second_of(const MinvisConfig& config, const ConstructedFrame& second, double alpha = 0.75) {
  MinvisTracker tracker(config, alpha);
  EXPECT_THAT(tracker.step(kFirst).query_of_track, ElementsAre(0, 1, 2));
  return tracker.step(second).query_of_track;
}

TEST(MinvisTracker, EveryQueryTakesATrackOfTheFrameBefore) {
  const ConstructedFrame turned({{.score = 0.2, .embedding = {0, 0, 5}},
                                 {.score = 0.3, .embedding = {5, 1, 0}},
                                 {.score = 0.4, .embedding = {0, 0.1, 0}}});
  EXPECT_THAT(second_of({.embedding = Embedding::object}, turned), ElementsAre(1, 2, 0));
  EXPECT_THAT(second_of({.embedding = Embedding::object, .solver = Solver::greedy}, turned), ElementsAre(1, 2, 0));
}

TEST(MinvisTracker, LooksOneFrameBackOnly) {
  MinvisTracker tracker({.embedding = Embedding::object}, 0);
  (void)tracker.step(ConstructedFrame({{.score = 0.9, .embedding = {1, 0}}, {.score = 0.9, .embedding = {0, 1}}}));
  // Both turn by 60 degrees and change places in the list: each is nearest to itself by that one step only.
  (void)tracker.step(
      ConstructedFrame({{.score = 0.9, .embedding = {-0.87, 0.5}}, {.score = 0.9, .embedding = {0.5, 0.87}}}));
  const FrameTracks third = tracker.step(
      ConstructedFrame({{.score = 0.9, .embedding = {-0.5, 0.87}}, {.score = 0.9, .embedding = {-0.87, -0.5}}}));
  EXPECT_THAT(third.query_of_track, ElementsAre(0, 1));
  EXPECT_NEAR(third.similarity, 1, 0.02);
}

TEST(MinvisTracker, GreedyServesTheBestScoreFirst) {
  // Cosines with tracks 0 and 1: 0.8 0.6 for query 0, 0.96 0.28 for query 1; together, 0.6 + 0.96 is the most.
  const ConstructedFrame second({{.score = 0.9, .embedding = {0.8, 0.6, 0}},
                                 {.score = 0.5, .embedding = {0.96, 0.28, 0}},
                                 {.score = 0.5, .embedding = {0, 0, 1}}});
  EXPECT_THAT(second_of({.embedding = Embedding::object, .solver = Solver::hungarian}, second), ElementsAre(1, 0, 2));
  EXPECT_THAT(second_of({.embedding = Embedding::object, .solver = Solver::greedy}, second), ElementsAre(0, 1, 2));
}

TEST(MinvisTracker, ComparesWhatItIsToldTo) {
  // Object embeddings in the old order, appearance embeddings turned back to front.
  const ConstructedFrame same({{.score = 0.9, .embedding = {1, 0, 0}},
                               {.score = 0.8, .embedding = {0, 1, 0}},
                               {.score = 0.1, .embedding = {0, 0, 1}}});
  FrameQueries mixed = kFirst;
  mixed.decoder = mixed.object;
  MinvisTracker tracker({}, 0.75);
  (void)tracker.step(mixed);
  EXPECT_THAT(tracker
                  .step([&] {
                    FrameQueries turned = mixed;
                    turned.decoder = turned.appearance;
                    return turned;
                  }())
                  .query_of_track,
              ElementsAre(2, 1, 0))
      << "the decoder's queries, by default";
  EXPECT_THAT(second_of({.embedding = Embedding::both}, same), ElementsAre(0, 1, 2));
}

TEST(MinvisTracker, ResetStartsAnotherVideo) {
  MinvisTracker tracker({.embedding = Embedding::object}, 0);
  (void)tracker.step(kFirst);
  const ConstructedFrame other({{.score = 0.9, .embedding = {0, 1}}, {.score = 0.9, .embedding = {1, 0}}});
  EXPECT_THROW((void)tracker.step(other), ShapeError);
  tracker.reset();
  EXPECT_THAT(tracker.step(other).query_of_track, ElementsAre(0, 1));
}

}  // namespace
}  // namespace visage::tracking
