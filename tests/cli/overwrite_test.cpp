#include "tests/cli/clip.h"
#include "visage/media/png.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <csignal>
#include <filesystem>
#include <map>
#include <thread>
#include <unistd.h>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;
using test::clip;
using test::Ended;
using test::names_in;
using test::read_text;
using test::track_arguments;
using test::write_text;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::map<std::string, std::string> contents(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[entry.path()] = read_text(entry.path());
  return files;
}

// An output folder with the results of two frames.
class OverwriteTest : public testing::Test {
 protected:
  OverwriteTest() { track({"--overlay", "frames", "--id-maps", "--max-frames", "2"}, 0); }

  std::string track(std::vector<std::string> more, int code, const std::string& input = clip().frames) {
    const Ended ended = test::run(track_arguments(input, out_, more));
    EXPECT_EQ(ended.code, code) << ended.err;
    return ended.err;
  }

  test::TemporaryFolder folder_;
  std::string out_ = folder_ / "out";
};

TEST_F(OverwriteTest, ReplacesTheResultsOfAnEarlierRun) {
  write_text(out_ + "/notes.txt", "mine");
  const auto before = contents(out_);
  EXPECT_THAT(track({}, 1), HasSubstr("--overwrite"));
  EXPECT_EQ(contents(out_), before);
  track({"--overwrite", "--id-maps"}, 0);
  EXPECT_THAT(names_in(out_), ElementsAre("id_maps", "notes.txt", "results.json", "run.json", "tracks.jsonl"));
  EXPECT_EQ(names_in(out_ + "/id_maps").size(), std::size_t{test::kClipFrames});
}

TEST_F(OverwriteTest, ARunThatFailsLeavesThemAlone) {
  const auto before = contents(out_);
  const std::string frames = folder_ / "frames";
  fs::create_directory(frames);
  fs::copy_file(clip().frames + "/00000.png", frames + "/0.png");
  write_text(frames + "/1.png", "no picture");
  track({"--overwrite", "--plan", "plain", "--precision", "bf16"}, 2);
  track({"--overwrite", "--set", "model.detector.num_queries=11"}, 1);
  EXPECT_EQ(contents(out_), before);
  track({"--overwrite", "--id-maps", "--overlay", "frames"}, 1, frames);
  EXPECT_EQ(fs::remove(out_ + "/tracks.jsonl.visage-partial"), true) << "what was found until the error";
  EXPECT_EQ(contents(out_), before);
}

TEST_F(OverwriteTest, NeverTouchesFoldersOfAnother) {
  const std::string theirs = folder_ / "theirs";
  fs::create_directories(theirs + "/id_maps");
  write_text(theirs + "/id_maps/mine.png", "mine");
  out_ = theirs;
  EXPECT_THAT(track({"--overwrite", "--id-maps"}, 1), HasSubstr("id_maps: exists and is not empty"));
  track({"--overwrite"}, 0);
  EXPECT_EQ(read_text(theirs + "/id_maps/mine.png"), "mine");
}

TEST_F(OverwriteTest, RefusesToReplaceItsInput) {
  const auto before = contents(out_);
  for (const std::string& input :
       {out_ + "/overlay_frames", out_ + "/overlay_frames/*.png", out_ + "/id_maps/00000.png"})
    EXPECT_THAT(track({"--overwrite"}, 1, input), HasSubstr("is one of the results in " + out_)) << input;
  EXPECT_EQ(contents(out_), before);
}

TEST_F(OverwriteTest, ARunIsInTheWayUntilItIsKilled) {
  out_ = folder_ / "killed";
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  {
    test::Program program(track_arguments("-", out_, {"--size", "96x64", "--overlay", "mp4", "--id-maps"}),
                          {.stdin_pipe = pipe_ends[0]});
    const std::string bytes(96 * 64 * 3, 'x');
    ASSERT_EQ(write(pipe_ends[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    const std::string lines = out_ + "/tracks.jsonl.visage-partial";
    for (int i = 0; i < 600 && !(fs::exists(lines) && fs::file_size(lines) > 0); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--overwrite"}})
      EXPECT_THAT(track(more, 1),
                  AllOf(HasSubstr(out_ + ": another run writes in this folder"), Not(HasSubstr("--overwrite"))));
    EXPECT_TRUE(fs::exists(lines)) << "that of the run that still lives";
    program.signal(SIGKILL);
    EXPECT_EQ(program.wait().code, 128 + SIGKILL);
  }
  close(pipe_ends[0]);
  close(pipe_ends[1]);
  EXPECT_EQ(names_in(out_).size(), 3u) << "lines, picture and id maps";
  track({"--max-frames", "1"}, 0);
  EXPECT_THAT(names_in(out_), ElementsAre("results.json", "run.json", "tracks.jsonl"));
}

TEST_F(OverwriteTest, AFileThatFailsDoesNotKeepTheOthersBack) {
  out_ = folder_ / "partly";
  // The first folder of the name is in the way only when the run ends.
  fs::create_directories(out_ + "/embeddings.safetensors/mine");
  const std::string error = track({"--overwrite", "--dump-embeddings", "--id-maps"}, 1);
  EXPECT_THAT(error, HasSubstr("embeddings.safetensors: exists and is not a regular file"));
  EXPECT_THAT(error, HasSubstr(out_ + "/results.json is complete"));
  EXPECT_THAT(names_in(out_),
              ElementsAre("embeddings.safetensors", "id_maps", "results.json", "run.json", "tracks.jsonl"));
  const auto record = nlohmann::json::parse(read_text(out_ + "/run.json"));
  EXPECT_EQ(record.at("complete"), false);
  EXPECT_EQ(record.at("files"), nlohmann::json({"results.json", "tracks.jsonl", "id_maps", "run.json"}));
}

}  // namespace
}  // namespace visage::cli
