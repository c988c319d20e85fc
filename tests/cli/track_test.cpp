#include "nn/checkpoint/checkpoint.h"
#include "tests/cli/clip.h"
#include "visage/annotation/rle.h"
#include "visage/media/frame_source.h"
#include "visage/media/png.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <unistd.h>

namespace visage::cli {
namespace {

using nlohmann::json;
using test::clip;
using test::Ended;
using test::names_in;
using test::read_text;
using test::track_arguments;
using testing::ElementsAre;
using testing::HasSubstr;

// The results of a run that has to succeed.
std::string results(const std::string& input, const std::string& output, const std::vector<std::string>& more = {},
                    const test::Start& start = {}) {
  const Ended ended = test::run(track_arguments(input, output, more), start);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  return read_text(output + "/results.json");
}

std::vector<std::string> lines_of(const std::string& file) {
  std::ifstream stream(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The frames of a video as numbered images and as one raw stream.
void unpack(const std::string& video, const std::string& folder, const std::string& raw) {
  std::filesystem::create_directory(folder);
  std::ofstream stream(raw, std::ios::binary);
  const auto source = media::open_source({.path = video});
  while (const std::optional<media::Frame> frame = source->next()) {
    media::write_png(folder + "/" + frame->name + ".png", frame->image);
    stream.write(reinterpret_cast<const char*>(frame->image.rgb.data()),
                 static_cast<std::streamsize>(frame->image.rgb.size()));
  }
}

TEST(Track, GivesOneResultForEveryInputAndWeightFormat) {
  if (clip().video.empty()) GTEST_SKIP() << "this build writes no mp4";
  const test::TemporaryFolder folder;
  unpack(clip().video, folder / "frames", folder / "clip.rgb");
  const std::string expected = results(clip().video, folder / "a");
  const json rows = json::parse(expected);
  ASSERT_EQ(rows.size(), 8u);  // top-K, K the number of classes of the tiny model
  for (const json& row : rows) EXPECT_EQ(row.at("segmentations").size(), std::size_t{test::kClipFrames});
  EXPECT_EQ(results(clip().video, folder / "b", {"--weights", clip().weights_pth}), expected);
  EXPECT_EQ(results(folder / "frames", folder / "c"), expected);
  EXPECT_EQ(results(folder / "frames/*.png", folder / "d"), expected);
  EXPECT_EQ(results("-", folder / "e", {"--size", "96x64", "--weights", clip().weights_pth},
                    {.stdin_file = folder / "clip.rgb"}),
            expected);
}

TEST(Track, WritesEveryOutput) {
  const test::TemporaryFolder folder;
  const std::string out = folder / "out";
  const json rows = json::parse(
      results(clip().frames, out, {"--id-maps", "--dump-embeddings", "--overlay", "gif", "--video-id", "7"}));
  EXPECT_THAT(names_in(out), ElementsAre("embeddings.safetensors", "id_maps", "overlay.gif", "results.json", "run.json",
                                         "tracks.jsonl"));
  EXPECT_EQ(names_in(out + "/id_maps").size(), std::size_t{test::kClipFrames});
  const std::vector<std::string> lines = lines_of(out + "/tracks.jsonl");
  ASSERT_EQ(lines.size(), std::size_t{test::kClipFrames});
  int objects = 0;
  for (std::size_t t = 0; t < lines.size(); ++t) {
    const json line = json::parse(lines[t]);
    EXPECT_EQ(line.at("frame"), t);
    EXPECT_EQ(line.at("name"), "0000" + std::to_string(t) + ".png");
    for (const json& object : line.at("objects")) {
      ++objects;
      const auto mask = annotation::rle_from_string(test::kClipHeight, test::kClipWidth,
                                                    object.at("segmentation").at("counts").get<std::string>());
      EXPECT_EQ(object.at("area"), annotation::area(mask));
      const annotation::Box box = annotation::bounding_box(mask);
      EXPECT_EQ(object.at("box"), json({box.x, box.y, box.width, box.height}));
      EXPECT_LT(object.at("track"), 10);
      EXPECT_EQ(object.at("label").get<std::string>().substr(0, 5) == "class", false) << "the tiny model names classes";
    }
  }
  EXPECT_GT(objects, 0);
  for (const json& row : rows) EXPECT_EQ(row.at("video_id"), 7);
  // The masks of the video's result are those of the last frame's objects, which without a least score are all.
  const json last = json::parse(lines.back()).at("objects");
  for (const json& row : rows) {
    const json& mask = row.at("segmentations").back();
    const auto same = [&](const json& object) { return object.at("segmentation") == mask; };
    EXPECT_TRUE(mask.is_null() || std::any_of(last.begin(), last.end(), same)) << mask;
  }
}

TEST(Track, DumpsWhatTheDetectorSaid) {
  const test::TemporaryFolder folder;
  results(clip().frames, folder / "a", {"--dump-embeddings"});
  results(clip().frames, folder / "b", {"--dump-embeddings", "--window", "3"});
  const nn::Checkpoint dump = nn::read_checkpoint(folder / "a/embeddings.safetensors");
  ASSERT_EQ(dump.tensors.size(), 4u);
  EXPECT_EQ(dump.find("logits")->size(), (Dims{8, 10, 9}));
  EXPECT_EQ(dump.find("object")->size(), (Dims{8, 10, 64}));
  EXPECT_EQ(dump.find("appearance")->size(), (Dims{8, 10, 64}));
  EXPECT_EQ(dump.find("mask_logits")->size(), (Dims{8, 10, 16, 24}));
  EXPECT_EQ(dump.find("mask_logits")->dtype(), DType::f16);
  EXPECT_EQ(dump.metadata.at("output_size"), "64x96");
  EXPECT_EQ(json::parse(dump.metadata.at("frame_names")).at(7), "00007.png");
  // Frames differ, and windows change nothing.
  const nn::Checkpoint windowed = nn::read_checkpoint(folder / "b/embeddings.safetensors");
  const float *one = dump.find("object")->data<float>(), *other = windowed.find("object")->data<float>();
  for (int i = 0; i < 8 * 10 * 64; ++i) ASSERT_NEAR(one[i], other[i], 1e-4) << i;
  float difference = 0;
  for (int i = 0; i < 640; ++i) difference = std::max(difference, std::abs(one[i] - one[640 * 7 + i]));
  EXPECT_GT(difference, 1e-4);
}

TEST(Track, WindowDoesNotChangeResults) {
  const test::TemporaryFolder folder;
  const std::string expected = results(clip().frames, folder / "a");
  EXPECT_EQ(results(clip().frames, folder / "b", {"--window", "4"}), expected);
  EXPECT_EQ(results(clip().frames, folder / "c", {"--window", "5"}), expected);  // the last one is not full
}

TEST(Track, OnlineResultsDependOnThePastAlone) {
  const test::TemporaryFolder folder;
  const std::string all = results(clip().frames, folder / "all", {"--scores", "online"});
  results(clip().frames, folder / "some", {"--scores", "online", "--max-frames", "5"});
  std::vector<std::string> lines = lines_of(folder / "all/tracks.jsonl");
  lines.resize(5);
  EXPECT_EQ(lines_of(folder / "some/tracks.jsonl"), lines);
  EXPECT_NE(all, results(clip().frames, folder / "video"));
}

TEST(Track, OnlineResultsComeBestFirst) {
  const test::TemporaryFolder folder;
  const json rows = json::parse(results(clip().frames, folder / "out", {"--scores", "online"}));
  ASSERT_GT(rows.size(), 2u);
  EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end(),
                             [](const json& a, const json& b) { return a.at("score") > b.at("score"); }));
}

TEST(Track, OptionsWinOverSetWinsOverTheFile) {
  const test::TemporaryFolder folder;
  const std::string out = folder / "out";
  results(clip().frames, out,
          {"--set", "tracking.alpha=0.25", "--set", "tracking.window=3", "--alpha", "0.5", "--set",
           "tracking.alpha=0.1", "--max-frames", "1"});
  const json record = json::parse(read_text(out + "/run.json"));
  const auto configuration = record.at("configuration").get<std::string>();
  EXPECT_THAT(configuration, HasSubstr("alpha = 0.5\nwindow = 3\n"));
  EXPECT_THAT(configuration, HasSubstr("num_queries = 10\n"));
  EXPECT_EQ(record.at("frames"), 1);
  EXPECT_EQ(record.at("complete"), true);
  EXPECT_THAT(record.at("arguments"), testing::Contains("tracking.alpha=0.25"));
}

TEST(Track, FollowsObjectsWithAnyTracker) {
  const test::TemporaryFolder folder;
  std::set<std::string> different;
  for (const std::string tracker : {"visage", "minvis", "idol", "ctvis", "qdtrack"}) {
    SCOPED_TRACE(tracker);
    different.insert(results(clip().frames, folder / tracker, {"--tracker", tracker, "--id-maps"}));
    const json record = json::parse(read_text(folder / (tracker + "/run.json")));
    EXPECT_THAT(record.at("configuration").get<std::string>(), HasSubstr("tracker = \"" + tracker + "\"\n"));
  }
  EXPECT_GE(different.size(), 4u) << "they do not all say the same";
}

TEST(Track, SeesChunksWithAnOfflineModel) {
  const test::TemporaryFolder folder;
  const std::vector<std::string> offline{"--mode", "offline", "--test-weights", "public"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = offline;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const std::string whole = results(clip().frames, folder / "whole", with({"--chunk", "100"}));
  EXPECT_EQ(json::parse(whole).size(), 10u);
  EXPECT_EQ(lines_of(folder / "whole/tracks.jsonl").size(), static_cast<std::size_t>(test::kClipFrames));
  EXPECT_EQ(results(clip().frames, folder / "window", with({"--chunk", "100", "--window", "3"})), whole);
  EXPECT_EQ(results(clip().frames, folder / "more", with({"--chunk", "8", "--overlap", "2"})), whole)
      << "a video that fits into a chunk is one clip";
  EXPECT_NE(results(clip().frames, folder / "chunks", with({"--chunk", "4", "--overlap", "2"})), whole);
  EXPECT_EQ(lines_of(folder / "chunks/tracks.jsonl").size(), static_cast<std::size_t>(test::kClipFrames));
  EXPECT_EQ(results(clip().frames, folder / "half", with({"--chunk", "4", "--overlap", "3"})),
            results(clip().frames, folder / "chunks_again", with({"--chunk", "4", "--overlap", "2"})))
      << "chunks share half of their frames at most";
  EXPECT_NE(results(clip().frames, folder / "plain", with({"--chunk", "100", "--plan", "plain"})), "");

  const auto refusal = [&](const std::vector<std::string>& more) {
    const Ended ended = test::run(track_arguments(clip().frames, folder / "no", with(more)));
    EXPECT_EQ(ended.code, 2);
    return ended.err;
  };
  EXPECT_THAT(refusal({"--tracker", "idol"}), HasSubstr("tracking.tracker is of no use to an offline model"));
  EXPECT_THAT(refusal({"--dump-embeddings"}), HasSubstr("no embeddings"));
  const Ended sweep = test::run({"sweep", "--test-weights", "public", "--config", test::kTinyConfig, "--set",
                                 "model.detector.mode=offline", "--videos", "1", "--frames", "3"});
  EXPECT_EQ(sweep.code, 2);
  EXPECT_THAT(sweep.err, HasSubstr("model.detector.mode"));
}

TEST(Track, TakesExtremeSizes) {
  const test::TemporaryFolder folder;
  for (const media::Size size : {media::Size{1, 1}, media::Size{20000, 20}}) {
    const std::string name = std::to_string(size.width), file = folder / (name + ".png");
    media::write_png(file, media::Image(size));
    const json rows = json::parse(results(file, folder / name, {"--overlay", "frames"}));
    EXPECT_EQ(rows.size(), 8u);
  }
}

TEST(Track, EndsCleanlyOnInterrupt) {
  const test::TemporaryFolder folder;
  const std::string out = folder / "out";
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  test::Program program(track_arguments("-", out, {"--size", "96x64", "--overlay", "gif"}),
                        {.stdin_pipe = pipe_ends[0]});
  // Three frames and a half: the program then waits for the rest.
  const std::string bytes(96 * 64 * 3 * 7 / 2, 'x');
  ASSERT_EQ(write(pipe_ends[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  for (int i = 0; i < 600 && lines_of(out + "/tracks.jsonl.visage-partial").size() < 3; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  program.signal(SIGINT);
  const Ended ended = program.wait();
  close(pipe_ends[0]);
  close(pipe_ends[1]);
  EXPECT_EQ(ended.code, 1);
  EXPECT_EQ(ended.err, "visage track: interrupted; the results in " + out + " cover the first 3 frames\n");
  EXPECT_THAT(names_in(out), ElementsAre("overlay.gif", "results.json", "run.json", "tracks.jsonl"));
  for (const json& row : json::parse(read_text(out + "/results.json"))) EXPECT_EQ(row.at("segmentations").size(), 3u);
  EXPECT_EQ(json::parse(read_text(out + "/run.json")).at("complete"), false);
}

}  // namespace
}  // namespace visage::cli
