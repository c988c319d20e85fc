#include "train/metrics.h"

#include "tests/support/files.h"
#include "train/chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace visage::train {
namespace {

using ::testing::ElementsAre;

struct Recorder final : MetricsReader {
  void add(const StepReport& step) override { steps.push_back(step); }
  void add(const EvaluationReport& evaluation) override { evaluations.push_back(evaluation); }
  std::vector<StepReport> steps;
  std::vector<EvaluationReport> evaluations;
};

TEST(MetricsFile, ContinuesAfterTheGivenStep) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  Recorder none;
  {
    MetricsFile file(path, 0, none);
    for (int step = 0; step < 4; ++step) {
      file.add(StepReport{.step = step, .total = 0.5 + step, .terms = {{"loss_ce", 0.25}}, .images = 6});
      if (step % 2 == 1)
        file.add(EvaluationReport{
            .steps = step + 1, .seconds = 2, .scores = {{.set = "track", .ap = 0.5}, {.set = "swap"}}});
    }
    file.flush();
  }
  test::write_text(path, test::read_text(path) + "{\"step\":3,\"lo");  // a line that was cut off
  Recorder kept;
  MetricsFile file(path, 3, kept);
  ASSERT_EQ(kept.steps.size(), 3u);
  EXPECT_EQ(kept.steps[2].step, 2);
  EXPECT_EQ(kept.steps[2].total, 2.5);
  EXPECT_EQ(kept.steps[2].images, 6);
  EXPECT_THAT(kept.steps[2].terms, ElementsAre(std::pair<std::string, double>("loss_ce", 0.25)));
  ASSERT_EQ(kept.evaluations.size(), 1u);
  EXPECT_EQ(kept.evaluations[0].steps, 2);
  EXPECT_EQ(kept.evaluations[0].scores[0].ap, 0.5);
  EXPECT_EQ(kept.evaluations[0].scores[1].ap, -1) << "nothing is annotated";
  EXPECT_EQ(kept.evaluations[0].ap(), 0.25);
  EXPECT_TRUE(none.steps.empty());
}

TEST(Curve, KeepsMeansAndExtremesOfGroups) {
  Curve curve("loss", 4 * Curve::kMostBins);
  for (int step = 1; step <= 8; ++step) curve.add(step, step);
  curve.add(8, NAN);
  const auto points = curve.points();
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0].step, 2.5);
  EXPECT_EQ(points[1].mean, 6.5);
  EXPECT_EQ(points[1].least, 5);
  EXPECT_EQ(points[1].greatest, 8);
  Curve speed("images a second", 2 * Curve::kMostBins);  // 10 images in 1 s, then 10 in 4 s
  speed.add(1, 10, 1);
  speed.add(2, 2.5, 4);
  EXPECT_EQ(speed.points()[0].mean, 4);
}

TEST(Chart, DrawsNothingAndOddValuesWithoutHarm) {
  Curve flat("flat", 10), none("none", 10);
  flat.add(1, 0);
  flat.add(2, 0);
  for (const Scale scale : {Scale::linear, Scale::log}) {
    const std::string svg = svg_chart({&flat, &none}, 10, scale, Marks::none);
    EXPECT_THAT(svg, ::testing::StartsWith("<svg"));
    EXPECT_THAT(svg, ::testing::Not(::testing::HasSubstr("nan")));
  }
}

}  // namespace
}  // namespace visage::train
