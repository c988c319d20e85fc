#include "tests/cli/clip.h"

#include <gtest/gtest.h>

namespace visage::test {
namespace {

// Masks wait for the end of the video in a temporary file, not in memory.
void expect_bounded_memory(const std::vector<std::string>& options) {
  const TemporaryFolder folder;
  const std::string set = (folder.path() / "set").string();
  ASSERT_EQ(run({"pseudo", "--output", set, "--frames", "600", "--size", "160x96", "--clips", "none", "-q"}).code, 0);
  const auto peak = [&](const std::string& frames) {
    const std::string out = (folder.path() / frames).string();
    std::vector<std::string> all = track_arguments(set + "/swap/JPEGImages/video_0000", out, options);
    all.insert(all.end(), {"--max-frames", frames});
    const Ended ended = run(all);
    EXPECT_EQ(ended.code, 0) << ended.err;
    return static_cast<double>(ended.peak_kilobytes);
  };
  const double few = peak("30"), many = peak("600");
  EXPECT_LE(many, 1.05 * few);
}

TEST(TrackSlow, MemoryDoesNotGrowWithTheVideo) { expect_bounded_memory({}); }

TEST(TrackSlow, OfflineTheMemoryIsThatOfAChunk) {
  expect_bounded_memory({"--mode", "offline", "--test-weights", "public"});
}

}  // namespace
}  // namespace visage::test
