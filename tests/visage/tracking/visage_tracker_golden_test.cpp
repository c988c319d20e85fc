// The tracker against every recorded run of the official one: sources x weighting x alpha x W.
#include "ops/shape/views.h"
#include "tests/support/devices.h"
#include "tests/support/golden.h"
#include "visage/tracking/visage_tracker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

namespace visage::tracking {
namespace {

using test::GoldenFile;

/// Below this margin between the best and the second best assignment, f32 rounding may decide.
constexpr double kNearTie = 1e-4;

/// One recorded run, `<source>/<rule>/alpha<a>/W<w>`.
struct RecordedRun {
  std::string prefix, source;
  TrackingConfig config;
};

std::vector<RecordedRun> recorded_runs(const GoldenFile& golden) {
  std::vector<RecordedRun> runs;
  const std::string ending = "/indices";
  for (const std::string& name : golden.names()) {
    if (!name.ends_with(ending)) continue;
    const std::string prefix = name.substr(0, name.size() - ending.size());
    const auto rule = prefix.find('/'), alpha = prefix.find("/alpha"), window = prefix.find("/W");
    runs.push_back(
        {.prefix = prefix,
         .source = prefix.substr(0, rule),
         .config = {.alpha = std::stod(prefix.substr(alpha + 6)),
                    .window = std::stoi(prefix.substr(window + 2)),
                    .weighting = prefix.substr(rule + 1, alpha - rule - 1) == "paper" ? MemoryWeighting::paper
                                                                                      : MemoryWeighting::release}});
  }
  return runs;
}

/// The rows of frame t of x [T,Q,C], in the order `perm` [T,Q] where there is one: new[j] = old[perm[t][j]].
Tensor rows_of(const Tensor& x, std::int64_t t, const Tensor& perm) {
  const Tensor frame = ops::reshape(ops::narrow(x, 0, t, 1), {x.size(1), x.size(2)});
  if (!perm) return frame;
  const Tensor out = Tensor::empty(frame.size());
  for (std::int64_t j = 0; j < frame.size(0); ++j) {
    const std::int64_t from = perm.data<std::int64_t>()[t * frame.size(0) + j];
    std::copy_n(frame.data<float>() + from * frame.size(1), frame.size(1), out.data<float>() + j * frame.size(1));
  }
  return out;
}

std::vector<FrameQueries> frames_of(const GoldenFile& golden, const std::string& source, Device device) {
  Tensor object, appearance, logits, perm;
  if (golden.contains(source + "/reid")) {
    object = golden.load(source + "/reid");
    appearance = golden.load(source + "/app");
    logits = golden.load(source + "/logits");
  } else {
    const GoldenFile clip("forward_clip6.safetensors");
    object = clip.load("reid_queries");
    appearance = clip.load("appearance_queries");
    logits = clip.load("decoder/pred_logits/9");
    if (golden.contains(source + "/perm")) perm = golden.load(source + "/perm");
  }
  std::vector<FrameQueries> frames;
  for (std::int64_t t = 0; t < object.size(0); ++t)
    frames.push_back({test::on(rows_of(logits, t, perm), device), test::on(rows_of(object, t, perm), device),
                      test::on(rows_of(appearance, t, perm), device)});
  return frames;
}

/// Copies the tensors of several frames into one [frames, ...] tensor, as the recorded ones are.
Tensor stacked(const std::vector<Tensor>& frames) {
  Dims size{static_cast<std::int64_t>(frames.size())};
  for (int axis = 0; axis < frames[0].rank(); ++axis) size.append(frames[0].size(axis));
  const Tensor out = Tensor::empty(size);
  char* to = static_cast<char*>(out.view().data);
  for (const Tensor& frame : frames) {
    std::memcpy(to, frame.view().data, frame.nbytes());
    to += frame.nbytes();
  }
  return out;
}

/// Follows one recorded run. Returns the number of frames whose assignment was compared exactly. After a near tie that
/// went the other way, both assignments are optimal and the memories differ, so nothing later can be compared.
std::int64_t follow(const GoldenFile& golden, const RecordedRun& run, const std::vector<FrameQueries>& frames) {
  const Tensor indices = golden.load(run.prefix + "/indices"), totals = golden.load(run.prefix + "/total");
  const Tensor gaps = golden.load(run.prefix + "/gap");
  VisageTracker tracker(run.config);
  std::vector<Tensor> object_memory, appearance_memory, scores;
  (void)tracker.step(frames[0]);
  scores.push_back(tracker.scores());
  std::int64_t exact = 0;
  for (std::int64_t t = 1; t < static_cast<std::int64_t>(frames.size()); ++t) {
    const FrameTracks tracks = tracker.step(frames[t]);
    const std::int64_t* want = indices.data<std::int64_t>() + (t - 1) * indices.size(1);
    const bool same = std::equal(tracks.query_of_track.begin(), tracks.query_of_track.end(), want);
    EXPECT_NEAR(tracks.similarity, totals.data<double>()[t - 1], 2e-5) << "frame " << t;
    if (gaps.data<double>()[t - 1] >= kNearTie) {
      EXPECT_TRUE(same) << "frame " << t << ": another assignment than recorded";
      ++exact;
    }
    if (!same) return exact;
    object_memory.push_back(tracker.object_memory());
    appearance_memory.push_back(tracker.appearance_memory());
    scores.push_back(tracker.scores());
  }
  const auto expect_recorded = [&](const std::string& name, const std::vector<Tensor>& got) {
    if (!golden.contains(run.prefix + name)) return;
    EXPECT_TRUE(golden.matches(run.prefix + name, stacked(got), 1e-5)) << name;
  };
  expect_recorded("/scores", scores);
  expect_recorded("/memory_reid", object_memory);
  expect_recorded("/memory_app", appearance_memory);
  return exact;
}

TEST(VisageTrackerGolden, FollowsEveryRecordedRun) {
  const GoldenFile golden("tracker.safetensors");
  const std::vector<RecordedRun> runs = recorded_runs(golden);
  ASSERT_FALSE(runs.empty());
  test::for_each_device([&](Device device) {
    std::map<std::string, std::vector<FrameQueries>> frames;
    std::map<std::string, std::int64_t> exact;
    std::set<MemoryWeighting> weightings;
    for (const RecordedRun& run : runs) {
      SCOPED_TRACE(run.prefix);
      // A simulated GPU takes long for the large ones; one of them is followed below.
      if (device.type != DeviceType::cpu && run.source != "synth") continue;
      if (!frames.contains(run.source)) frames[run.source] = frames_of(golden, run.source, device);
      exact[run.source] += follow(golden, run, frames[run.source]);
      weightings.insert(run.config.weighting);
    }
    for (const auto& [source, count] : exact) EXPECT_GT(count, 0) << source;
    EXPECT_EQ(weightings.size(), 2u);
  });
}

/// The run recorded with the whole network: released weighting, alpha 0.75, W 5.
TEST(VisageTrackerGolden, FollowsTheClip) {
  const GoldenFile clip("forward_clip6.safetensors");
  const RecordedRun run{.prefix = "track", .source = "clip6", .config = {.weighting = MemoryWeighting::release}};
  const Tensor indices = clip.load("track/indices");
  test::for_each_device([&](Device device) {
    const std::vector<FrameQueries> frames = frames_of(GoldenFile("tracker.safetensors"), run.source, device);
    VisageTracker tracker(run.config);
    (void)tracker.step(frames[0]);
    std::vector<Tensor> object_memory, appearance_memory;
    for (std::int64_t t = 1; t < static_cast<std::int64_t>(frames.size()); ++t) {
      const FrameTracks tracks = tracker.step(frames[t]);
      if (clip.load("track/gap").data<double>()[t - 1] < kNearTie) return;
      EXPECT_TRUE(std::equal(tracks.query_of_track.begin(), tracks.query_of_track.end(),
                             indices.data<std::int64_t>() + (t - 1) * indices.size(1)));
      object_memory.push_back(tracker.object_memory());
      appearance_memory.push_back(tracker.appearance_memory());
    }
    EXPECT_TRUE(clip.matches("track/memory_reid", stacked(object_memory), 1e-5));
    EXPECT_TRUE(clip.matches("track/memory_app", stacked(appearance_memory), 1e-5));
  });
}

}  // namespace
}  // namespace visage::tracking
