#include "tests/cli/clip.h"
#include "visage/media/image_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sys/stat.h>
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
using testing::ElementsAre;
using testing::HasSubstr;

bool wait_until(const std::function<bool()>& happened) {
  for (int i = 0; i < 3000; ++i) {
    if (happened()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

std::size_t lines_in(const std::string& file) {
  std::ifstream stream(file);
  std::size_t lines = 0;
  for (std::string line; std::getline(stream, line);) ++lines;
  return lines;
}

class Live : public testing::Test {
 protected:
  // results.json of a run that has to succeed.
  std::string results(const std::string& input, const std::vector<std::string>& more) {
    const std::string out = folder_ / ("expected" + std::to_string(runs_++));
    const Ended ended = test::run(track_arguments(input, out, more));
    EXPECT_EQ(ended.code, 0) << ended.err;
    return read_text(out + "/results.json");
  }
  // Ends a run that waits for its first frame. The output folder is made when signals are already taken.
  void interrupt_before_the_first_frame(const std::string& input, const std::vector<std::string>& more) {
    test::Program program(track_arguments(input, out_, more));
    ASSERT_TRUE(wait_until([this] { return fs::exists(out_); }));
    program.signal(SIGINT);
    test::expect_refusal(program.wait(), 1, "track",
                         "interrupted before the first frame was done; nothing was written");
    EXPECT_THAT(names_in(out_), ElementsAre("(no folder)"));
  }

  test::TemporaryFolder folder_;
  std::string out_ = folder_ / "out", frames_ = folder_ / "frames", pipe_ = folder_ / "cam";
  int runs_ = 0;
};

TEST_F(Live, FollowsAFolderFrameByFrameUntilInterrupted) {
  fs::create_directory(frames_);
  const std::vector<std::string> options = {"--scores", "online", "--follow", "inf"};
  test::Program program(track_arguments(frames_, out_, options));
  std::size_t written = 0;
  for (const std::string& name : names_in(clip().frames)) {
    const std::string bytes = read_text(clip().frames + "/" + name), half = bytes.substr(0, bytes.size() / 2);
    if (written % 2) {  // either way of writing
      test::write_text(frames_ + "/" + name, half);
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      std::ofstream(frames_ + "/" + name, std::ios::binary | std::ios::app) << bytes.substr(half.size());
    } else {
      test::write_text(frames_ + "/part", bytes);
      fs::rename(frames_ + "/part", frames_ + "/" + name);
    }
    ++written;
    ASSERT_TRUE(wait_until([&] { return lines_in(out_ + "/tracks.jsonl.visage-partial") == written; })) << name;
  }
  program.signal(SIGINT);
  const Ended ended = program.wait();
  EXPECT_EQ(ended.code, 1);
  EXPECT_EQ(ended.err, "visage track: interrupted; the results in " + out_ + " cover the first 8 frames\n");
  EXPECT_EQ(read_text(out_ + "/results.json"), results(clip().frames, {"--scores", "online"}));
}

TEST_F(Live, EndsWhenNoImageComes) {
  EXPECT_EQ(results(clip().frames + "/*.png", {"--follow", "0.2"}), results(clip().frames, {}));
}

TEST_F(Live, ReadsFramesFromANamedPipe) {
  ASSERT_EQ(mkfifo(pipe_.c_str(), 0600), 0);
  test::Program program(track_arguments(pipe_, out_, {"--size", "96x64"}));
  int writer = -1;
  ASSERT_TRUE(wait_until([&] { return (writer = open(pipe_.c_str(), O_WRONLY | O_NONBLOCK)) >= 0; }));
  fcntl(writer, F_SETFL, 0);
  for (const std::string& name : names_in(clip().frames)) {
    const media::Image image = media::read_image(clip().frames + "/" + name);
    ASSERT_EQ(write(writer, image.rgb.data(), image.rgb.size()), static_cast<ssize_t>(image.rgb.size()));
  }
  close(writer);
  const Ended ended = program.wait();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(read_text(out_ + "/results.json"), results(clip().frames, {}));
}

TEST_F(Live, ReadsAVideoFromStdin) {
  if (clip().video.empty()) GTEST_SKIP() << "this build reads no mp4";
  const Ended ended = test::run(track_arguments("-", out_), {.stdin_file = clip().video});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(read_text(out_ + "/results.json"), results(clip().video, {}));
}

TEST_F(Live, EndsOnInterruptWhenNothingComes) {
  ASSERT_EQ(mkfifo(pipe_.c_str(), 0600), 0);
  interrupt_before_the_first_frame(pipe_, {"--size", "96x64"});
  interrupt_before_the_first_frame(pipe_, {});
  fs::create_directory(frames_);
  interrupt_before_the_first_frame(frames_, {"--follow", "inf"});
  interrupt_before_the_first_frame(frames_ + "/*.png", {"--follow", "inf"});
}

TEST_F(Live, RefusesWhatCannotBeFollowed) {
  for (const std::string& input : {std::string("-"), clip().frames + "/00000.png"})
    test::expect_refusal(test::run(track_arguments(input, out_, {"--follow", "1"})), 2, "track",
                         "only a folder or pattern of images can be followed");
  test::expect_refusal(test::run(track_arguments(clip().frames, out_, {"--follow", "0"})), 2, "track",
                       "more than 0 seconds");
}

}  // namespace
}  // namespace visage::cli
