// Tracks that start late, pause, come back or turn out to be noise, on their way to the results.
#include "visage/pipeline/track_assembler.h"

#include "tests/support/values.h"
#include "visage/annotation/rle.h"

#include <gmock/gmock.h>

#include <cmath>

namespace visage::pipeline {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Says what it was told to.
class ScriptedTracker final : public tracking::Tracker {
 public:
  explicit ScriptedTracker(std::vector<tracking::FrameTracks> script) : script_(std::move(script)) {}
  tracking::FrameTracks step(const tracking::FrameQueries& queries) override {
    EXPECT_EQ(queries.masks.size(), 2u) << "trackers may look at masks";
    return script_.at(frame_++);
  }
  void reset() override { frame_ = 0; }

 private:
  std::vector<tracking::FrameTracks> script_;
  std::size_t frame_ = 0;
};

// Two queries of class 0 and 1, on the first and the second half of 2x2 pixels.
QueryFrame frame() {
  QueryFrame frame;
  frame.queries.logits = test::tensor_of({2, 3}, std::vector<double>{4, 0, 0, 0, 3, 0});
  frame.host_logits = frame.queries.logits;
  frame.size = {2, 2};
  for (const std::uint64_t bits : {0b0011u, 0b1100u}) {
    frame.masks.push_back({.bits = {bits}, .quality_sum = 1.8, .quality_count = 2});
    frame.run_lengths.push_back(
        annotation::to_string(annotation::encode_columns(frame.masks.back().bits.data(), 2, 2)));
  }
  return frame;
}

struct Row {
  int track, label;
  std::vector<bool> visible;
  bool operator==(const Row&) const = default;
};

std::vector<Row> rows_of(const TrackAssembler& assembler) {
  std::vector<Row> rows;
  assembler.for_each_track([&](const VideoTrack& track) {
    Row row{track.scored.track, track.scored.label, {}};
    for (std::int64_t t = 0; t < assembler.frames(); ++t) row.visible.push_back(!track.mask(t).empty());
    rows.push_back(row);
  });
  return rows;
}

std::vector<int> listed(const FrameResult& result) {
  std::vector<int> tracks;
  for (const TrackedObject& object : result.objects) tracks.push_back(object.track);
  return tracks;
}

class LateTracks : public testing::TestWithParam<ScoreMode> {};

TEST_P(LateTracks, StartPauseAndComeBack) {
  TrackAssembler assembler(
      {.scores = GetParam(), .top_k = 2},
      std::make_unique<ScriptedTracker>(std::vector<tracking::FrameTracks>{
          {.query_of_track = {}}, {.query_of_track = {1}}, {.query_of_track = {-1, 0}}, {.query_of_track = {1, 0}}}));
  EXPECT_THAT(listed(assembler.add(frame())), IsEmpty());
  EXPECT_THAT(listed(assembler.add(frame())), ElementsAre(0));
  EXPECT_THAT(listed(assembler.add(frame())), ElementsAre(1));
  EXPECT_THAT(listed(assembler.add(frame())), ElementsAre(1, 0)) << "best first";
  EXPECT_THAT(assembler.assignment(), ElementsAre(1, 0));
  EXPECT_THAT(rows_of(assembler),
              ElementsAre(Row{1, 0, {false, false, true, true}}, Row{0, 1, {false, true, false, true}}));
  const Tensor mean = assembler.scores().mean_logits();
  EXPECT_THAT(test::values_of(mean), ElementsAre(0, 3, 0, 4, 0, 0)) << "over the frames that a track is in";
}

INSTANTIATE_TEST_SUITE_P(, LateTracks, testing::Values(ScoreMode::video, ScoreMode::online));

TEST(TrackAssembler, NoiseLeavesTheResultOfTheVideo) {
  for (const ScoreMode mode : {ScoreMode::video, ScoreMode::online}) {
    TrackAssembler assembler(
        {.scores = mode, .top_k = 10},
        std::make_unique<ScriptedTracker>(std::vector<tracking::FrameTracks>{
            {.query_of_track = {0, 1}}, {.query_of_track = {-1, 1}, .noise = {0}}, {.query_of_track = {-1, 1}}}));
    EXPECT_THAT(listed(assembler.add(frame())), ElementsAre(0, 1));
    for (int t = 1; t < 3; ++t) EXPECT_THAT(listed(assembler.add(frame())), ElementsAre(1));
    std::vector<int> tracks;
    for (const Row& row : rows_of(assembler)) tracks.push_back(row.track);
    if (mode == ScoreMode::video)
      EXPECT_THAT(tracks, testing::Each(1));
    else
      EXPECT_THAT(tracks, testing::UnorderedElementsAre(0, 1)) << "what was said is said";
  }
}

// Mask2Former-VIS: the score is the class probability alone, and ten pairs of track and class are told.
TEST(TrackAssembler, QueriesOfClipsBringTheirTracks) {
  TrackAssembler frames({}, std::make_unique<ScriptedTracker>(std::vector<tracking::FrameTracks>{{{1, 0}}})),
      clips({}, std::make_unique<ScriptedTracker>(std::vector<tracking::FrameTracks>{}));
  QueryFrame known = frame();
  known.tracks = tracking::FrameTracks{.query_of_track = {1, 0}};
  const FrameResult of_frame = frames.add(frame()), of_clip = clips.add(known);
  EXPECT_THAT(clips.assignment(), ElementsAre(1, 0));
  EXPECT_EQ(listed(of_clip), listed(of_frame));
  const double probability = std::exp(4) / (std::exp(4) + 2), quality = 0.9;
  EXPECT_NEAR(of_clip.objects.at(0).score, probability, 1e-5);
  EXPECT_NEAR(of_frame.objects.at(0).score, probability * quality, 1e-5);
  EXPECT_EQ(rows_of(frames).size(), 2u) << "as many as classes";
  EXPECT_EQ(rows_of(clips).size(), 4u) << "all pairs, which are less than ten";
}

TEST(TrackAssembler, WithoutAResultOfTheVideoNoMaskIsKept) {
  TrackAssembler assembler({.result = VideoResult::none},
                           std::make_unique<ScriptedTracker>(std::vector<tracking::FrameTracks>{{{0, 1}}, {{0, 1}}}));
  for (const std::int64_t t : {0, 1}) {
    const FrameResult result = assembler.add(frame());
    EXPECT_EQ(result.index, t);
    EXPECT_EQ(result.objects.size(), 2u);
  }
  EXPECT_THROW(assembler.for_each_track([](const VideoTrack&) {}), Error);
}

TEST(TrackAssembler, TakesTheTrackerOfTheConfiguration) {
  TrackAssembler assembler({}, TrackingConfig{.tracker = TrackerKind::qdtrack});
  QueryFrame unsure = frame();
  unsure.queries.object = test::tensor_of({2, 2}, std::vector<double>{1, 0, 0, 1});
  (void)assembler.add(unsure);
  EXPECT_THAT(assembler.assignment(), ElementsAre(0, 1));
  for (const int i : {0, 4}) unsure.queries.logits.data<float>()[i] = 1;  // below birth_score
  TrackAssembler another({}, TrackingConfig{.tracker = TrackerKind::qdtrack});
  (void)another.add(unsure);
  EXPECT_THAT(another.assignment(), IsEmpty());
  EXPECT_THAT(rows_of(another), IsEmpty());
}

}  // namespace
}  // namespace visage::pipeline
