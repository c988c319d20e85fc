#include "tests/cli/own_truth.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::Ended;
using test::expect_refusal;
using test::read_text;
using test::run;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Sweep : public testing::Test {
 protected:
  json swept(const std::vector<std::string>& more) {
    const Ended ended =
        run(test::with_tiny_model(test::joined({"sweep", "--data", data_, "--json", folder_ / "sweep.json"}, more)));
    EXPECT_EQ(ended.code, 0) << ended.err;
    return json::parse(read_text(folder_ / "sweep.json"));
  }

  test::TemporaryFolder folder_;
  std::string data_ = test::make_own_truth(folder_);
};

TEST_F(Sweep, EverySettingScoresAsEvalDoes) {
  const json report = swept({});
  EXPECT_EQ(report.at("settings").size(), 14u + 11u + 4u);
  std::vector<double> aps;
  for (const json& setting : report.at("settings")) {
    json keys = setting;
    keys.erase("results");
    SCOPED_TRACE(keys.dump());
    std::vector<std::string> command = {"eval", "--data", data_, "--json", folder_ / "eval.json"};
    keys = keys.flatten();
    for (const auto& [pointer, value] : keys.items()) {
      std::string key = pointer.substr(1);
      std::ranges::replace(key, '/', '.');
      command.insert(command.end(), {"--set", "tracking." + key + "=" + value.dump()});
    }
    const Ended alone = run(test::with_tiny_model(command));
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
  const Ended ended =
      run(test::with_tiny_model({"sweep", "--data", data_, "--data", data_, "--table", "6", "--markdown", page}));
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
  expect_refusal(run({"sweep", "--data", data_}), 2, "sweep", "--weights FILE");
  expect_refusal(run(test::with_tiny_model({"sweep", "--table", "3"})), 2, "sweep",
                 "\"3\" is not one of all|4|5|6|7|window|weighting");
  expect_refusal(run(test::with_tiny_model({"sweep", "--data", folder_ / "nowhere"})), 1, "sweep",
                 "nowhere/instances.json");
  expect_refusal(run(test::with_tiny_model({"sweep", "--seeds", "0"})), 2, "sweep", "--seeds");
  expect_refusal(run(test::with_tiny_model({"sweep", "--data", data_, "--markdown", "/nowhere/x.md"})), 1, "sweep",
                 "/nowhere");
  expect_refusal(run({"sweep", "--test-weights", "x", "--config", test::kTinyConfig, "--quiet", "--set",
                      "model.detector.num_classes=2", "--set", "class_names=[]"}),
                 2, "sweep", "--data DIR");
  json truth = json::parse(read_text(data_ + "/instances.json"));
  truth["annotations"] = json::array();
  test::write_text(data_ + "/instances.json", truth.dump());
  expect_refusal(run(test::with_tiny_model({"sweep", "--data", data_})), 1, "sweep", "no object is annotated");
}

TEST(SweepSets, AreMadeOnceAndKept) {
  const test::TemporaryFolder folder;
  const std::vector<std::string> command = test::with_tiny_model(
      {"sweep", "--videos", "1", "--seeds", "2", "--frames", "3", "--size", "96x64", "--table", "weighting"});
  const std::vector<std::string> keeping = test::joined(command, {"--keep", folder / "sets"});
  const Ended first = run(keeping);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, ContainsRegex("track +swap\n"));
  EXPECT_THAT(first.out, HasSubstr("track: 2 sets, 2 videos, 6 frames; swap: 2 sets, 2 videos, 6 frames; made by"));
  EXPECT_THAT(first.out, HasSubstr("seeds 1001 to 1002"));
  const std::string set = folder / "sets/seed_1002/track/instances.json";
  const fs::file_time_type made = fs::last_write_time(set);
  EXPECT_EQ(run(keeping).out, first.out);
  EXPECT_EQ(fs::last_write_time(set), made);
  expect_refusal(run(test::joined(keeping, {"--frames", "4"})), 1, "sweep", "seed_1001/track: is not empty");

  fs::create_directory(folder / "tmp");
  EXPECT_EQ(run(command, {.temporary_folder = folder / "tmp"}).out, first.out);
  EXPECT_TRUE(fs::is_empty(folder / "tmp")) << "the sets are gone";
}

}  // namespace
}  // namespace visage::cli
