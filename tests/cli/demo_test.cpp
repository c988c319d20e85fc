#include "cli/demo.h"

#include "cli/demo_page.h"
#include "tests/cli/clip.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>

namespace visage::cli {
namespace {

using test::Ended;
using test::kTinyConfig;
using test::read_text;
using test::run;
using testing::HasSubstr;
using testing::Not;

DemoClip clip_of(std::int64_t frames, std::optional<std::int64_t> swap_frame) {
  DemoClip clip{.swap_frame = swap_frame};
  clip.inputs.resize(frames);
  return clip;
}

std::int64_t kept(const DemoClip& clip, std::vector<std::vector<int>> ids) {
  return objects_kept(clip, DemoRun{.ids = std::move(ids)});
}

TEST(DemoPage, CountsTheObjectsThatKeepTheirTrack) {
  const DemoClip clip = clip_of(5, 3);
  EXPECT_EQ(kept(clip, {{4, 4, 4, 4, 4}, {7, 7, 7, 7, 7}}), 2);
  EXPECT_EQ(kept(clip, {{4, 4, 4, 7, 7}, {7, 7, 7, 4, 4}}), 0) << "exchanged tracks";
  EXPECT_EQ(kept(clip, {{4, kLost, 4, kHidden, 4}}), 1) << "gaps do not count";
  EXPECT_EQ(kept(clip, {{4, 4, 4, kLost, kLost}, {kHidden, kHidden, kHidden, 7, 7}}), 0) << "tracked on one side only";
  EXPECT_EQ(kept(clip_of(4, std::nullopt), {{1, 1, 1, 1}, {2, 2, 3, 3}}), 1) << "the middle of a clip without swap";
}

class Demo : public testing::Test {
 protected:
  Ended demo(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"demo",   "--config", kTinyConfig, "--output", output_,
                                          "--size", "96x64",    "--frames",  "6"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }

  test::TemporaryFolder folder_;
  const std::string output_ = folder_ / "demo";
};

TEST_F(Demo, ComparesBothSimilaritiesOnOnePage) {
  const Ended ended = demo({"--weights", test::clip().weights});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("objects keep their track"));
  const std::string page = read_text(output_ + "/index.html");
  EXPECT_THAT(page, HasSubstr("With appearance, alpha = 0.75"));
  EXPECT_THAT(page, HasSubstr("Without appearance, alpha = 0"));
  EXPECT_THAT(page, HasSubstr("paths exchanged"));
  EXPECT_THAT(page, HasSubstr("objects</strong> keep their track through the exchange"));
  EXPECT_THAT(page, Not(HasSubstr("meaningless")));
  EXPECT_THAT(page, Not(HasSubstr("src=\"http"))) << "the page needs no other file";
  EXPECT_THAT(read_text(output_ + "/tracks/swap_without_appearance/run.json"), HasSubstr("alpha = 0.0"));
  for (const std::string file : {"clips/swap/instances.json", "clips/track/instances.json", "tracks/swap/results.json",
                                 "tracks/track/results.json"})
    EXPECT_TRUE(std::filesystem::exists(output_ + "/" + file)) << file;
}

TEST_F(Demo, SaysThatTestWeightsMeanNothing) {
  const Ended ended = demo();
  ASSERT_EQ(ended.code, 0) << ended.err;
  const std::string page = read_text(output_ + "/index.html");
  EXPECT_THAT(page, HasSubstr("meaningless"));
  EXPECT_THAT(page, Not(HasSubstr("objects</strong> keep")));
  EXPECT_EQ(demo().code, 1) << "an earlier demo is replaced only when asked to";
  EXPECT_EQ(demo({"--overwrite"}).code, 0);
}

TEST_F(Demo, RefusesClipsThatNoPageCanShow) {
  const Ended ended = demo({"--frames", "2"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("--frames must be between 6 and 200; got 2"));
  EXPECT_FALSE(std::filesystem::exists(output_));
}

}  // namespace
}  // namespace visage::cli
