#include "visage/evaluation/evaluator.h"

#include "tensor/error.h"
#include "tests/visage/evaluation/scene.h"

#include <gmock/gmock.h>

#include <cmath>

namespace visage::evaluation {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string message(const std::function<void()>& run) {
  try {
    run();
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(TrackOverlap, SumsIntersectionsOverFramesWithinTheCategory) {
  Scene scene(3);
  scene.annotate({.at = {0, 10, -1}});
  scene.annotate({.at = {5, 5, 5}, .category = 2});
  scene.predict({.at = {5, 12, 20}});
  const std::vector<EvaluatedVideo> videos = prepare_videos(scene.data());
  const PredictedTrack track = overlap_with(videos[0].truth, scene.predictions()[0], FrameDetail::keep);
  EXPECT_THAT(track.intersection, ElementsAre((5 + 8) * 4, 0));
  EXPECT_EQ(track.area, 30 * 4);
  EXPECT_EQ(track.average_area, 40);
  ASSERT_EQ(track.frames.size(), 3u);
  EXPECT_THAT(track.frames[0].intersection, ElementsAre(5 * 4, 10 * 4));
  EXPECT_THAT(track.frames[2].intersection, ElementsAre(0, 0));
  EXPECT_TRUE(overlap_with(videos[0].truth, scene.predictions()[0], FrameDetail::drop).frames.empty());
}

TEST(Evaluator, OneGoodOneWrongPrediction) {
  Scene scene(2);
  scene.annotate({.at = {0, 0}});
  scene.annotate({.at = {50, 50}});
  scene.predict({.at = {0, 0}, .score = 0.9});    // IoU 1
  scene.predict({.at = {20, 20}, .score = 0.8});  // nothing there
  scene.predict({.at = {52, 52}, .score = 0.7});  // IoU 8 / 12
  const VisAp ap = scene.evaluate().ap;
  // Up to recall 0.5 (51 thresholds) precision is 1, beyond it 2 / 3 where IoU 2 / 3 suffices.
  EXPECT_NEAR(ap.ap50, (51 + 50 * 2.0 / 3) / 101, 1e-12);
  EXPECT_NEAR(ap.ap75, 51.0 / 101, 1e-12);
  EXPECT_NEAR(ap.ap, (4 * (51 + 50 * 2.0 / 3) + 6 * 51) / 1010, 1e-12);
  EXPECT_NEAR(ap.ar1, 0.5, 1e-12);
  EXPECT_NEAR(ap.ar10, (4 * 1 + 6 * 0.5) / 10, 1e-12);
  EXPECT_EQ(ap.ap_large, -1);
  EXPECT_EQ(ap.categories[1].ap(), -1);
}

TEST(Evaluator, AMatchWithIdZeroIsNoMatchAndIsIgnoredOutsideTheAreaRange) {
  Scene scene(1);
  scene.annotate({.at = {0}});
  scene.data().annotations[0].id = 0;
  scene.data().annotations[0].areas = {20000};
  scene.predict({.at = {0}});  // 40 pixels
  Evaluator evaluator(scene.data());
  evaluator.add(scene.predictions());
  const EvaluatedVideo* video = &evaluator.videos()[0];
  const PairDetails pair = match_details({&video, 1}, evaluator.categories()).at(0);
  const AreaMatch &all = pair.matches[0], &medium = pair.matches[2];
  EXPECT_EQ(all.matched[0].at(0), 0);
  EXPECT_FALSE(all.ignored[0].at(0));
  EXPECT_FALSE(medium.truth_ignored.at(0));
  EXPECT_TRUE(medium.ignored[0].at(0));
}

TEST(Evaluator, DropsUnknownCategoriesAndSaysSo) {
  Scene scene(1);
  scene.annotate({.at = {0}});
  scene.predict({.at = {0}, .category = 7});
  scene.predict({.at = {0}});
  Evaluator evaluator(scene.data());
  evaluator.add(scene.predictions());
  EXPECT_NEAR(evaluator.result().ap.ap, 1, 1e-9);
  EXPECT_EQ(evaluator.videos()[0].predictions.at(0).id, 2);
  EXPECT_THAT(evaluator.warnings(), ElementsAre("1 predictions dropped: the data set has no category with id 7"));
}

TEST(Evaluator, RefusesWhatDoesNotFit) {
  Scene scene(2);
  scene.annotate({.at = {0, 0}});
  Evaluator evaluator(scene.data());
  const auto error_of = [&](const std::function<void(annotation::Prediction&)>& spoil) {
    Scene other(2);
    other.predict({.at = {0, 0}});
    spoil(other.predictions()[0]);
    return message([&] { evaluator.add(other.predictions()); });
  };
  EXPECT_THAT(error_of([](auto& p) { p.video_id = 9; }), HasSubstr("no video with id 9"));
  EXPECT_THAT(error_of([](auto& p) { p.masks.pop_back(); }), HasSubstr("has masks for 1 frames, the video has 2"));
  EXPECT_THAT(error_of([](auto& p) { p.masks[1] = annotation::empty_rle(3, 3); }), HasSubstr("frame 1: the mask is 3"));
  EXPECT_THAT(error_of([](auto& p) { p.score = std::nan(""); }), HasSubstr("score must be finite"));
  EXPECT_EQ(evaluator.result().predictions, 0);
  EXPECT_THAT(message([&] { static_cast<void>(evaluator.result(std::vector<std::int64_t>{4})); }),
              HasSubstr("no video with id 4"));
  scene.data().ground_truth = annotation::GroundTruth::missing;
  EXPECT_THAT(message([&] { Evaluator again(scene.data()); }), HasSubstr("no ground truth"));
}

}  // namespace
}  // namespace visage::evaluation
