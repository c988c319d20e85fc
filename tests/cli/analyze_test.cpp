#include "tests/cli/own_truth.h"
#include "visage/media/image_file.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace visage::cli {
namespace {

using nlohmann::json;
using test::Ended;
using test::expect_refusal;
using test::joined;
using test::read_text;
using test::run;
using test::with_tiny_model;
using testing::ContainsRegex;
using testing::HasSubstr;

using testing::StartsWith;

class Analyze : public testing::Test {
 protected:
  std::vector<std::string> command(const std::string& name, const std::vector<std::string>& more = {}) const {
    return with_tiny_model(joined({"analyze", name, "--data", data_}, more));
  }

  test::TemporaryFolder folder_;
  std::string data_ = test::make_own_truth(folder_);
};

TEST_F(Analyze, FlipCountsEveryObjectOnce) {
  const std::string page = folder_ / "results.md";
  const Ended ended = run(command("flip", {"--json", folder_ / "flip.json", "--markdown", page, "--frames-each", "2"}));
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, ContainsRegex("swap: mirrored, kept +swap: mirrored, exchanged +swap: next frame, kept\n"));
  EXPECT_THAT(ended.out, ContainsRegex("\nobject embedding \\(alpha = 0\\) +[0-9.]+ +[0-9.]+ +[0-9.]+\n"));
  EXPECT_THAT(ended.out, ContainsRegex("\nboth \\(alpha = 0.75\\) "));
  EXPECT_THAT(ended.out, ContainsRegex("\nappearance embedding \\(alpha = 1\\) "));
  EXPECT_THAT(read_text(page), StartsWith("<!-- begin visage analyze flip -->\nWeights: "));
  const json rows = json::parse(read_text(folder_ / "flip.json")).at("sets").at(0).at("results");
  ASSERT_EQ(rows.size(), 3u);
  for (const json& row : rows) {
    for (const char* pair : {"mirrored", "next"}) {
      const json& found = row.at(pair);
      EXPECT_GT(found.at("objects"), 0);
      EXPECT_EQ(found.at("objects"), rows.at(0).at(pair).at("objects")) << "the tracker does not decide what is seen";
      EXPECT_LE(found.at("kept").get<int>() + found.at("exchanged").get<int>(), found.at("objects").get<int>());
    }
  }
}

TEST_F(Analyze, EmbeddingsAreDrawnTheSameEveryTime) {
  const std::vector<std::string> pictures = {"--html", folder_ / "e.html", "--png", folder_ / "e.png"};
  const Ended ended = run(command("embeddings", pictures));
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, ContainsRegex("silhouette +same object nearer\n"));
  for (const char* kind : {"decoder query", "object embedding", "appearance embedding"})
    EXPECT_THAT(ended.out, ContainsRegex(std::string("\n") + kind + " +-?[0-9.]+ +[0-9.]+\n"));
  const std::string html = read_text(folder_ / "e.html"), png = read_text(folder_ / "e.png");
  EXPECT_THAT(html, HasSubstr("<title>video 1, object 1, frame 0</title>"));
  EXPECT_EQ(media::read_image(folder_ / "e.png").size(), (media::Size{1220, 452}));
  EXPECT_EQ(run(command("embeddings", pictures)).out, ended.out);
  EXPECT_EQ(read_text(folder_ / "e.html"), html);
  EXPECT_EQ(read_text(folder_ / "e.png"), png);
  EXPECT_THAT(run(command("embeddings", {"--points", "12"})).out, ContainsRegex(" 12 points, from [12] videos?\\."));
}

TEST_F(Analyze, RefusesWhatCannotBeMeasured) {
  expect_refusal(run({"analyze", "flip", "--data", data_}), 2, "analyze flip", "--weights FILE");
  expect_refusal(run(command("flip", {"--frames-each", "0"})), 2, "analyze flip", "--frames-each");
  expect_refusal(run(command("embeddings", {"--points", "5001"})), 2, "analyze embeddings", "square");
  expect_refusal(run(command("embeddings", {"--png", "/nowhere/e.png"})), 1, "analyze embeddings", "/nowhere");
  json truth = json::parse(read_text(data_ + "/instances.json"));
  for (json& annotation : truth.at("annotations"))
    for (json& mask : annotation.at("segmentations")) mask = {{"size", {64, 96}}, {"counts", {0, 1, 6143}}};
  test::write_text(data_ + "/instances.json", truth.dump());
  expect_refusal(run(command("flip")), 1, "analyze flip", "in no frame were two annotated objects found");
  expect_refusal(run(command("embeddings")), 1, "analyze embeddings", "too few to compare");
}

}  // namespace
}  // namespace visage::cli
