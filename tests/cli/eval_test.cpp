#include "cli/eval.h"

#include "tensor/error.h"
#include "tests/cli/own_truth.h"
#include "tests/support/golden.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <sstream>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::clip;
using test::Ended;
using test::expect_refusal;
using test::joined;
using test::read_text;
using test::run;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::StartsWith;

std::string golden(const std::string& file) { return test::golden_eval_dir() + "/" + file; }

std::vector<std::string> score(const std::string& results, const std::string& annotations,
                               const std::vector<std::string>& more = {}) {
  return joined({"eval", "--results", results, "--annotations", annotations}, more);
}

TEST(EvalGolden, ReportHoldsTheOfficialNumbers) {
  const test::TemporaryFolder folder;
  const json cases = json::parse(read_text(golden("eval/cases.json"))).at("cases");
  ASSERT_FALSE(cases.empty());
  for (const json& one : cases) {
    const std::string name = one.at("name"), place = "eval/" + name + "/";
    SCOPED_TRACE(name);
    const Ended ended =
        run(score(golden(place + "results.json"), golden(place + "gt.json"), {"--json", folder / "report.json"}));
    ASSERT_EQ(ended.code, 0) << ended.err;
    const json report = json::parse(read_text(folder / "report.json"));
    const json expected = json::parse(read_text(golden(place + "expected.json")));
    for (const auto& [key, value] : expected.at("stats").items()) {
      SCOPED_TRACE(key);
      if (value.get<double>() < 0) {
        EXPECT_TRUE(report.at(key).is_null());
      } else {
        EXPECT_NEAR(report.at(key).get<double>(), value.get<double>(), 1e-9);
      }
    }
    EXPECT_EQ(report.at("predictions"), one.at("predictions"));
    EXPECT_EQ(report.at("categories").size(), one.at("categories").get<size_t>());
  }
}

TEST(EvalGolden, MalformedFilesAreRefusedInOneLine) {
  const json files = json::parse(read_text(golden("malformed/index.json"))).at("files");
  ASSERT_FALSE(files.empty());
  for (const json& entry : files) {
    const std::string file = entry.at("file"), kind = entry.at("kind"), must = entry.at("must");
    if (kind == "coco") continue;
    SCOPED_TRACE(file);
    const std::string path = golden("malformed/" + file);
    EvalCommand command{.results = path, .annotations = golden("malformed/valid_gt.json")};
    if (kind == "gt") command = {.results = golden("malformed/valid_results.json"), .annotations = path};
    std::ostringstream out;
    std::string refusal;
    try {
      run_eval(command, out);
    } catch (const InputError& error) {
      refusal = error.what();
    }
    EXPECT_THAT(refusal, testing::Not(HasSubstr("\n")));
    EXPECT_EQ(out.str().empty(), !refusal.empty());
    if (must == "accept") {
      EXPECT_EQ(refusal, "");
    }
    if (must == "refuse" || must == "accept_no_gt") {
      EXPECT_THAT(refusal, HasSubstr(file));
    }
  }
}

TEST(Eval, RefusesHalfACommand) {
  expect_refusal(run({"eval"}), 2, "eval", "name what to score");
  expect_refusal(run({"eval", "--results", "x.json"}), 2, "eval", "--annotations FILE");
  expect_refusal(run(score("x.json", "y.json", {"--data", "z"})), 2, "eval", "exclude each other");
  expect_refusal(run(score("x.json", "y.json", {"--weights", "w.pth"})), 2, "eval", "without a model");
  expect_refusal(run(score("x.json", "no such file.json")), 1, "eval", "no such file.json");
}

// Two synthetic videos and the tiny model on them.
class EvalModel : public testing::Test {
 protected:
  std::vector<std::string> arguments(const std::vector<std::string>& more = {}) {
    return test::with_tiny_model(joined({"eval", "--data", data_}, more));
  }

  test::TemporaryFolder folder_;
  std::string data_ = test::make_videos(folder_);
};

TEST_F(EvalModel, WhatItWritesScoresTheSameAsWhatItSays) {
  const Ended model =
      run(arguments({"--output", folder_ / "results.json", "--json", folder_ / "model.json", "--min-score", "0"}));
  ASSERT_EQ(model.code, 0) << model.err;
  const Ended file = run(score(folder_ / "results.json", data_ + "/instances.json",
                               {"--json", folder_ / "file.json", "--min-score", "0"}));
  ASSERT_EQ(file.code, 0) << file.err;
  EXPECT_EQ(model.out, file.out);
  EXPECT_EQ(read_text(folder_ / "model.json"), read_text(folder_ / "file.json"));
  const json results = json::parse(read_text(folder_ / "results.json"));
  EXPECT_EQ(results.size(), 16u);  // 8 classes: 8 rows a video
  EXPECT_EQ(results[0].at("segmentations").size(), 5u);
}

TEST_F(EvalModel, TracksWithTheTrackerThatIsNamed) {
  const auto results = [&](const std::vector<std::string>& more) {
    const Ended ended = run(joined(arguments({"--output", folder_ / "results.json"}), more));
    EXPECT_EQ(ended.code, 0) << ended.err;
    return read_text(folder_ / "results.json");
  };
  const std::string idol = results({"--tracker", "idol"});
  EXPECT_EQ(idol, results({"--set", "tracking.tracker=idol"}));
  EXPECT_NE(idol, results({}));
}

TEST_F(EvalModel, TheTruthItselfScoresHundred) {
  const json annotations = json::parse(read_text(data_ + "/instances.json")).at("annotations");
  json results = json::array();
  for (const json& annotation : annotations)
    results.push_back({{"video_id", annotation.at("video_id")},
                       {"category_id", annotation.at("category_id")},
                       {"score", 1},
                       {"segmentations", annotation.at("segmentations")}});
  test::write_text(folder_ / "truth.json", results.dump());
  const Ended ended = run(score(folder_ / "truth.json", data_ + "/instances.json"));
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("     AP   AP50   AP75    AR1   AR10    APs    APm    APl\n  100.0  100.0  100.0"));
  EXPECT_THAT(ended.out, ContainsRegex("any class +100\\.0 +100\\.0 +100\\.0 +100\\.0 +0\n"));
  EXPECT_THAT(ended.out, ContainsRegex("mean over classes +100\\.0 +100\\.0 +100\\.0 +100\\.0 +0\n"));
  EXPECT_THAT(ended.out, ContainsRegex("\ncategory +AP +AP50 +AP75 +AR1 +AR10 +HOTA +IDF1 +IDsw\n"));
  EXPECT_EQ(ended.err, "");
}

TEST_F(EvalModel, WarnsOfVideosWithoutPrediction) {
  test::write_text(
      folder_ / "half.json",
      R"([{"video_id": 2, "category_id": 1, "score": 1, "segmentations": [null, null, null, null, null]}])");
  const std::string truth = data_ + "/instances.json";
  const Ended half = run(score(folder_ / "half.json", truth));
  ASSERT_EQ(half.code, 0) << half.err;
  EXPECT_THAT(half.err, HasSubstr("1 of 2 videos has no prediction; the objects in it count as missed"));
  EXPECT_EQ(run(score(folder_ / "half.json", truth, {"--video-id", "2"})).err, "");
  test::write_text(folder_ / "none.json", "[]");
  EXPECT_THAT(run(score(folder_ / "none.json", truth)).err, HasSubstr("2 of 2 videos have no prediction"));
}

TEST_F(EvalModel, OneVideoOnly) {
  const Ended ended = run(arguments({"--video-id", "2"}));
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, StartsWith("1 videos, 8 predictions\n"));
  expect_refusal(run(arguments({"--video-id", "3"})), 1, "eval", "no video with id 3");
}

TEST_F(EvalModel, RefusesADataSetThatDoesNotFit) {
  expect_refusal(run({"eval", "--data", data_, "--weights", clip().weights}), 1, "eval",
                 "instances.json: has 8 categories");
  expect_refusal(run({"eval", "--data", data_, "--config", test::kTinyConfig}), 2, "eval", "--weights FILE");
  fs::remove(data_ + "/JPEGImages/video_0001/00002.png");
  expect_refusal(run(arguments()), 1, "eval", "video_0001/00002.png: no such image");
}

}  // namespace
}  // namespace visage::cli
