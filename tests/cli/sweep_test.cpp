#include "tests/cli/clip.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::clip;
using test::Ended;
using test::read_text;
using test::run;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::vector<std::string> joined(std::vector<std::string> list, const std::vector<std::string>& more) {
  list.insert(list.end(), more.begin(), more.end());
  return list;
}

// A command with the tiny model.
std::vector<std::string> with_model(const std::vector<std::string>& command) {
  return joined(command, {"--weights", clip().weights, "--config", test::kTinyConfig, "--quiet"});
}

void expect_refusal(const Ended& ended, int code, const std::string& named) {
  SCOPED_TRACE(ended.err);
  EXPECT_EQ(ended.code, code);
  EXPECT_THAT(ended.err, StartsWith("visage sweep: "));
  EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1);
  EXPECT_THAT(ended.err, HasSubstr(named));
  EXPECT_EQ(ended.out, "");
}

// A set whose ground truth is what the tiny model says with alpha = 0, so that its AP depends on the tracker.
class Sweep : public testing::Test {
 protected:
  void SetUp() override {
    const Ended made = run({"pseudo", "--output", folder_ / "set", "--videos", "2", "--frames", "5", "--size", "96x64",
                            "--clips", "none", "--curve-frames", "5"});
    ASSERT_EQ(made.code, 0) << made.err;
    const Ended tracked =
        run(with_model({"eval", "--data", data_, "--set", "tracking.alpha=0", "--output", folder_ / "results.json"}));
    ASSERT_EQ(tracked.code, 0) << tracked.err;
    json truth = json::parse(read_text(data_ + "/instances.json"));
    truth["annotations"] = json::array();
    for (const json& row : json::parse(read_text(folder_ / "results.json"))) {
      const json& masks = row.at("segmentations");
      if (std::ranges::all_of(masks, [](const json& mask) { return mask.is_null(); })) continue;
      json areas = json::array();
      for (const json& mask : masks) areas.push_back(mask.is_null() ? json() : json(100));
      truth["annotations"].push_back({{"id", truth["annotations"].size() + 1},
                                      {"video_id", row.at("video_id")},
                                      {"category_id", row.at("category_id")},
                                      {"iscrowd", 0},
                                      {"areas", areas},
                                      {"segmentations", masks}});
    }
    test::write_text(data_ + "/instances.json", truth.dump());
  }

  json swept(const std::vector<std::string>& more) {
    const Ended ended = run(with_model(joined({"sweep", "--data", data_, "--json", folder_ / "sweep.json"}, more)));
    EXPECT_EQ(ended.code, 0) << ended.err;
    return json::parse(read_text(folder_ / "sweep.json"));
  }

  test::TemporaryFolder folder_;
  std::string data_ = folder_ / "set/swap";
};

TEST_F(Sweep, EverySettingScoresAsEvalDoes) {
  const json report = swept({});
  EXPECT_EQ(report.at("settings").size(), 14u);
  std::vector<double> aps;
  for (const json& setting : report.at("settings")) {
    const std::string alpha = setting.at("alpha").dump(), window = setting.at("window").dump();
    SCOPED_TRACE("alpha " + alpha + ", W " + window);
    const Ended alone = run(with_model({"eval", "--data", data_, "--json", folder_ / "eval.json", "--set",
                                        "tracking.alpha=" + alpha, "--set", "tracking.window=" + window, "--set",
                                        "tracking.weighting=" + setting.at("weighting").get<std::string>()}));
    ASSERT_EQ(alone.code, 0) << alone.err;
    const json want = json::parse(read_text(folder_ / "eval.json"));
    const json& got = setting.at("results").at("swap");
    for (const char* name : {"AP", "AP50", "AP75", "AR_1", "AR_10"})
      EXPECT_EQ(got.at(name).at("values"), json::array({want.at(name)})) << name;
    EXPECT_EQ(got.at("IDF1").at("mean"), want.at("tracking").at("class_agnostic").at("IDF1"));
    aps.push_back(got.at("AP").at("mean"));
  }
  EXPECT_GT(std::ranges::max(aps), 0.9) << "alpha = 0 finds its own tracks";
  EXPECT_LT(std::ranges::min(aps), std::ranges::max(aps)) << "the settings must differ to show anything";
}

TEST_F(Sweep, PrintsTheChosenTableBesideThePapers) {
  const std::string page = folder_ / "results.md";
  test::write_text(page, "# Results\n");
  const Ended ended = run(with_model({"sweep", "--data", data_, "--data", data_, "--table", "6", "--markdown", page}));
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, ContainsRegex("swap +paper, YTVIS19 +paper, OVIS\n"));
  EXPECT_THAT(ended.out, ContainsRegex("alpha = 0 +[0-9.]+ \u00b1 0\\.0 +53\\.4 +32\\.2\n"));
  EXPECT_THAT(ended.out, ContainsRegex("alpha = 1 .* 24\\.9 +11\\.4\n"));
  EXPECT_THAT(ended.out, Not(HasSubstr("Table 7")));
  EXPECT_THAT(ended.out, HasSubstr("swap: 2 sets, 4 videos, 20 frames"));
  EXPECT_THAT(read_text(page), StartsWith("# Results\n\n<!-- begin visage sweep -->\nWeights: "));
  EXPECT_THAT(read_text(page), ContainsRegex("\\| alpha = 1 \\| [0-9.]+ \u00b1 0\\.0 \\| 24\\.9 \\| 11\\.4 \\|\n"));
}

TEST_F(Sweep, RefusesWhatItCannotScore) {
  expect_refusal(run({"sweep", "--data", data_}), 2, "--weights FILE");
  expect_refusal(run(with_model({"sweep", "--table", "5"})), 2, "\"5\" is not one of all|4|6|7|window|weighting");
  expect_refusal(run(with_model({"sweep", "--data", folder_ / "nowhere"})), 1, "nowhere/instances.json");
  expect_refusal(run({"sweep", "--weights", clip().weights, "--seeds", "0", "--config", test::kTinyConfig}), 2,
                 "--seeds");
  expect_refusal(run(with_model({"sweep", "--data", data_, "--markdown", "/nowhere/x.md"})), 1, "/nowhere");
  expect_refusal(run({"sweep", "--test-weights", "x", "--config", test::kTinyConfig, "--quiet", "--set",
                      "model.detector.num_classes=2", "--set", "class_names=[]"}),
                 2, "--data DIR");
  json truth = json::parse(read_text(data_ + "/instances.json"));
  truth["annotations"] = json::array();
  test::write_text(data_ + "/instances.json", truth.dump());
  expect_refusal(run(with_model({"sweep", "--data", data_})), 1, "no object is annotated");
}

TEST(SweepSets, AreMadeOnceAndKept) {
  const test::TemporaryFolder folder;
  const std::vector<std::string> command = with_model(
      {"sweep", "--videos", "1", "--seeds", "2", "--frames", "3", "--size", "96x64", "--table", "weighting"});
  const std::vector<std::string> keeping = joined(command, {"--keep", folder / "sets"});
  const Ended first = run(keeping);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, ContainsRegex("track +swap\n"));
  EXPECT_THAT(first.out, HasSubstr("seeds 1001 to 1002"));
  const std::string set = folder / "sets/seed_1002/track/instances.json";
  const fs::file_time_type made = fs::last_write_time(set);
  EXPECT_EQ(run(keeping).out, first.out);
  EXPECT_EQ(fs::last_write_time(set), made);
  expect_refusal(run(joined(keeping, {"--frames", "4"})), 1, "seed_1001/track: is not empty");

  fs::create_directory(folder / "tmp");
  EXPECT_EQ(run(command, {.temporary_folder = folder / "tmp"}).out, first.out);
  EXPECT_TRUE(fs::is_empty(folder / "tmp")) << "the sets are gone";
}

}  // namespace
}  // namespace visage::cli
