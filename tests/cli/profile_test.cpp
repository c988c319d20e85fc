#include "tests/cli/clip.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace visage::cli {
namespace {

using nlohmann::json;
using test::Ended;
using test::read_text;
using test::TemporaryFolder;
using testing::HasSubstr;

void expect_consistent(const json& report, const char* unit, int units) {
  EXPECT_EQ(report.at("unit"), unit);
  EXPECT_EQ(report.at("units"), units);
  EXPECT_EQ(report.at("latency_seconds").at("all").size(), units);
  EXPECT_GT(report.at("ceilings").at("copy_bytes_per_second"), 0);
  EXPECT_GT(report.at("ceilings").at("product_flops_per_second"), 0);
  double stages = 0, ops = 0;
  for (const json& row : report.at("stages"))
    if (row.at("depth") == 0) stages += row.at("seconds").get<double>();
  for (const json& row : report.at("ops")) {
    ops += row.at("seconds").get<double>();
    EXPECT_EQ(row.at("calls").get<int>() % units, 0) << row;
  }
  const double total = report.at("seconds");
  EXPECT_NEAR(stages, total, 1e-6 * total);
  EXPECT_LE(ops, total);
  EXPECT_GT(report.at("memory").at("peak_bytes"), 0);
}

TEST(Profile, ShowsWhereTheTimeOfAFrameGoes) {
  const TemporaryFolder folder;
  const Ended ended =
      test::run({"profile", "track", "--config", test::kTinyConfig, "--size", "96x64", "--frames", "2", "--warmup", "1",
                 "--device", "cpu", "--json", folder / "p.json", "--trace", folder / "t.json"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("test weights"));
  for (const char* const text : {"latency of a frame: p50 ", "ceilings: copy ", "of product", "backbone", "tracker",
                                 "conv2d (backbone)", "memory in use: at most "})
    EXPECT_THAT(ended.out, HasSubstr(text));
  const json report = json::parse(read_text(folder / "p.json"));
  expect_consistent(report, "frame", 2);
  EXPECT_EQ(report.at("conditions").at("command"), "track");
  EXPECT_GT(json::parse(read_text(folder / "t.json")).at("traceEvents").size(), 100u);
}

TEST(Profile, ShowsWhereTheTimeOfATrainingStepGoes) {
  const TemporaryFolder folder;
  const Ended ended = test::run({"profile",  "train",
                                 "--config", test::kTinyConfig,
                                 "--steps",  "1",
                                 "--warmup", "1",
                                 "--device", "cpu",
                                 "--set",    "train.clips=1",
                                 "--set",    "train.frames=2",
                                 "--set",    "train.num_points=64",
                                 "--set",    "train.data.least_edge=64",
                                 "--set",    "train.data.most_edge=64",
                                 "--set",    "train.data.crop_probability=0.0",
                                 "--set",    "train.data.width=96",
                                 "--set",    "train.data.height=64",
                                 "--json",   folder / "p.json"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  for (const char* const stage : {"data", "backbone", "matching and mask losses", "backward", "optimizer"})
    EXPECT_THAT(ended.out, HasSubstr(stage));
  expect_consistent(json::parse(read_text(folder / "p.json")), "step", 1);
}

TEST(Profile, RefusesWhatItCannotMeasure) {
  EXPECT_EQ(test::run({"profile", "track", "--frames", "0", "--config", test::kTinyConfig}).code, 2);
  EXPECT_EQ(test::run({"profile", "train", "--threads", "-1"}).code, 2);
  EXPECT_EQ(test::run({"profile"}).code, 2);
  const Ended sized = test::run({"profile", "train", "--config", test::kTinyConfig, "--size", "96x64"});
  EXPECT_EQ(sized.code, 2);
  EXPECT_THAT(sized.err, HasSubstr("--size is of the procedural clips"));
  EXPECT_EQ(test::run({"profile", "track", "--json", "/nowhere/p.json"}).code, 1);
}

}  // namespace
}  // namespace visage::cli
