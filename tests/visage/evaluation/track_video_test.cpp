#include "visage/evaluation/track_video.h"

#include "nn/init/test_weights.h"
#include "tensor/error.h"
#include "tests/support/files.h"
#include "visage/config/config.h"
#include "visage/media/png.h"
#include "visage/pipeline/video_pipeline.h"
#include "visage/pseudo/procedural.h"
#include "visage/pseudo/pseudo_video.h"

#include <gmock/gmock.h>

namespace visage::evaluation {
namespace {

using annotation::Prediction;

// The tiny model with test weights, and a synthetic video as a folder of images.
class TrackVideo : public testing::Test {
 protected:
  TrackVideo() : model_(config_.model) {
    nn::fill_test_weights(model_.params(), "track video");
    detector_ = pipeline::make_detector(model_, pipeline::Plan::fast, Precision::f32);
    const pseudo::PseudoOptions clip{.size = {96, 64}, .frames = 6, .curve_frames = 12};
    const pseudo::PseudoVideo drawn(clip, 0, pseudo::ProceduralObjects(), pseudo::ProceduralBackgrounds());
    for (std::int64_t t = 0; t < drawn.frames(); ++t) {
      images_.push_back(drawn.render(t).image);
      video_.file_names.push_back(std::to_string(t) + ".png");
      media::write_png(folder_ / video_.file_names.back(), images_.back());
    }
    options_.shortest_edge = 64;
  }

  std::vector<Prediction> rows(const pipeline::TrackAssembler& tracks) const {
    return predictions_of(tracks, video_, category_ids_);
  }
  std::vector<pipeline::TrackAssembler> track(std::span<const TrackingConfig> settings) {
    pipeline::FrameDetector frames(*detector_, options_.detection());
    return track_video(frames, options_.assembly, settings, video_, folder_.path());
  }

  test::TemporaryFolder folder_;
  Config config_ = config::load_config(test::data_path("../../configs/tiny.toml"));
  Model model_;
  std::unique_ptr<Detector> detector_;
  pipeline::PipelineOptions options_;
  annotation::Video video_{.id = 7, .height = 64, .width = 96, .file_names = {}};
  std::vector<media::Image> images_;
  std::vector<std::int64_t> category_ids_ = {1, 2, 3, 4, 5, 6, 7, 8};
};

void expect_equal(const std::vector<Prediction>& a, const std::vector<Prediction>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].video_id, b[i].video_id);
    EXPECT_EQ(a[i].category_id, b[i].category_id);
    EXPECT_EQ(a[i].score, b[i].score);
    EXPECT_EQ(a[i].masks, b[i].masks);
  }
}

TEST_F(TrackVideo, SettingsThatShareAPassGetWhatTheyGetAlone) {
  const TrackingConfig settings[] = {{.alpha = 0, .window = 1}, {.alpha = 1, .window = 5}};
  const std::vector<pipeline::TrackAssembler> together = track(settings);
  ASSERT_EQ(together.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    const std::vector<pipeline::TrackAssembler> alone = track({&settings[i], 1});
    expect_equal(rows(together[i]), rows(alone.front()));
    options_.tracking = settings[i];
    pipeline::VideoPipeline pipeline(model_, options_);
    std::vector<double> scores;
    for (std::int64_t t = 0; t < std::ssize(images_); ++t)
      static_cast<void>(pipeline.feed({images_[t], video_.file_names[t], t}));
    pipeline.for_each_track([&](const pipeline::VideoTrack& row) { scores.push_back(row.scored.score); });
    std::vector<double> want;
    for (const Prediction& row : rows(together[i])) want.push_back(row.score);
    EXPECT_EQ(scores, want);
  }
  EXPECT_NE(together[0].assignment(), together[1].assignment()) << "the settings must differ to show anything";
}

TEST_F(TrackVideo, ResultsDoNotDependOnTheWindow) {
  const TrackingConfig setting;
  const std::vector<pipeline::TrackAssembler> one = track({&setting, 1});
  options_.window = 4;  // leaves an incomplete window at the end
  const std::vector<pipeline::TrackAssembler> four = track({&setting, 1});
  EXPECT_EQ(four.front().frames(), 6);
  EXPECT_EQ(one.front().assignment(), four.front().assignment());
}

TEST_F(TrackVideo, RefusesImagesOfAnotherSize) {
  media::write_png(folder_ / "3.png", media::Image(95, 64));
  const TrackingConfig setting;
  EXPECT_THAT(test::message_of<InputError>([&] {
                static_cast<void>(track({&setting, 1}));
              }),
              testing::HasSubstr("3.png: the image is 95x64, the annotations say 96x64 for video 7"));
  const TrackingConfig impossible{.alpha = 2};
  EXPECT_THROW(static_cast<void>(track({&impossible, 1})), UsageError);
}

}  // namespace
}  // namespace visage::evaluation
