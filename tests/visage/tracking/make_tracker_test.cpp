#include "tests/support/devices.h"
#include "tests/visage/tracking/constructed_frame.h"
#include "visage/tracking/tracker.h"

#include <gmock/gmock.h>

namespace visage::tracking {
namespace {

using test::ConstructedFrame;
using testing::ElementsAre;
using visage::test::for_each_device;

constexpr TrackerKind kKinds[] = {TrackerKind::visage, TrackerKind::minvis, TrackerKind::idol, TrackerKind::ctvis,
                                  TrackerKind::qdtrack};

std::vector<int> first_frame(TrackerKind kind, Device device = {}) {
  // Not in the order of their scores, two of one object, and one of none.
  const ConstructedFrame constructed({{.score = 0.15, .embedding = {1, 0}, .begin = 0, .end = 10},
                                      {.score = 0.85, .embedding = {1, 0}, .begin = 20, .end = 30},
                                      {.score = 0.6, .embedding = {0, 1}, .begin = 20, .end = 31},
                                      {.score = 0.7, .embedding = {1, 1}, .begin = 40, .end = 50}});
  FrameQueries frame = constructed;
  for (Tensor* rows : {&frame.logits, &frame.object, &frame.appearance}) *rows = visage::test::on(*rows, device);
  frame.decoder = frame.object;
  return make_tracker({.tracker = kind})->step(frame).query_of_track;
}

TEST(MakeTracker, MakesTheTrackerThatIsNamed) {
  EXPECT_THAT(first_frame(TrackerKind::visage), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(first_frame(TrackerKind::minvis), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(first_frame(TrackerKind::idol), ElementsAre(1, 3));
  EXPECT_THAT(first_frame(TrackerKind::ctvis), ElementsAre(1, 3, 0));
  EXPECT_THAT(first_frame(TrackerKind::qdtrack), ElementsAre(1));
}

TEST(MakeTracker, EveryTrackerTakesQueriesFromEveryDevice) {
  for_each_device([](Device device) {
    for (const TrackerKind kind : kKinds) EXPECT_EQ(first_frame(kind, device), first_frame(kind));
  });
}

TEST(MakeTracker, RefusesAnImpossibleAlpha) {
  for (const TrackerKind kind : kKinds) EXPECT_THROW((void)make_tracker({.tracker = kind, .alpha = 1.5}), UsageError);
}

}  // namespace
}  // namespace visage::tracking
