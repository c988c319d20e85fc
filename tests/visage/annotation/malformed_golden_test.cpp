#include "tensor/error.h"
#include "tests/support/golden.h"
#include "visage/annotation/coco.h"
#include "visage/annotation/results.h"
#include "visage/annotation/ytvis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

namespace visage::annotation {
namespace {

using nlohmann::json;

std::string folder() { return test::golden_eval_dir() + "/malformed/"; }

// Loads the file as its kind says; returns whether it has ground truth.
GroundTruth load(const std::string& kind, const std::string& file) {
  const std::string path = folder() + file;
  if (kind == "gt") return read_ytvis(path).ground_truth;
  if (kind == "coco") return read_coco(path).ground_truth;
  (void)read_results(path, read_ytvis(folder() + "valid_gt.json"));
  return GroundTruth::present;
}

class MalformedGoldenTest : public ::testing::Test {
 protected:
  json index_ = json::parse(std::ifstream(folder() + "index.json"));
};

TEST_F(MalformedGoldenTest, EveryFileBehavesAsItsIndexSays) {
  ASSERT_FALSE(index_["files"].empty());
  for (const json& entry : index_["files"]) {
    const std::string file = entry["file"], kind = entry["kind"], must = entry["must"];
    SCOPED_TRACE(file + ": " + entry["what"].get<std::string>());
    std::string refusal;
    GroundTruth truth = GroundTruth::missing;
    try {
      truth = load(kind, file);
    } catch (const InputError& error) {
      refusal = error.what();
    }
    if (must == "refuse") {
      EXPECT_THAT(refusal, ::testing::HasSubstr(file)) << "accepted, or the message does not name the file";
    } else if (must == "accept" || must == "accept_no_gt") {
      EXPECT_EQ(refusal, "");
      EXPECT_EQ(truth, must == "accept" ? GroundTruth::present : GroundTruth::missing);
    }
    EXPECT_THAT(refusal, ::testing::Not(::testing::HasSubstr("\n")));
    EXPECT_LT(refusal.size(), 600u);
  }
}

TEST_F(MalformedGoldenTest, EveryEvaluationCaseLoads) {
  const std::string root = test::golden_eval_dir() + "/eval/";
  const json cases = json::parse(std::ifstream(root + "cases.json"));
  ASSERT_FALSE(cases["cases"].empty());
  for (const json& item : cases["cases"]) {
    const std::string name = item["name"];
    SCOPED_TRACE(name);
    const VideoDataset dataset = read_ytvis(root + name + "/gt.json");
    EXPECT_EQ(dataset.videos.size(), item["videos"].get<size_t>());
    EXPECT_EQ(dataset.annotations.size(), item["annotations"].get<size_t>());
    EXPECT_EQ(dataset.categories.size(), item["categories"].get<size_t>());
    EXPECT_EQ(read_results(root + name + "/results.json", dataset).size(), item["predictions"].get<size_t>());
  }
}

}  // namespace
}  // namespace visage::annotation
