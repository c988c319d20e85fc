#include "tensor/error.h"
#include "tests/support/golden.h"
#include "visage/evaluation/evaluator.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

namespace visage::evaluation {
namespace {

using nlohmann::json;

constexpr double kTolerance = 1e-9;

std::string root() { return test::golden_eval_dir() + "/eval/"; }

json read_json(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  return json::parse(file);
}

double value_or(const json& value, double otherwise) { return value.is_null() ? otherwise : value.get<double>(); }

template <class T>
std::vector<T> flat(const json& rows) {
  std::vector<T> values;
  for (const json& row : rows)
    for (const json& value : row) values.push_back(value.get<T>());
  return values;
}

std::vector<bool> flags(const json& values) {
  std::vector<bool> result;
  for (const json& value : values) result.push_back(value.get<int>() != 0);
  return result;
}

// One recorded case, evaluated.
struct Case {
  explicit Case(const std::string& name)
      : dataset(annotation::read_ytvis(root() + name + "/gt.json")),
        predictions(annotation::read_results(root() + name + "/results.json", dataset)),
        evaluator(dataset),
        expected(read_json(root() + name + "/expected.json")),
        details(read_json(root() + name + "/details.json")) {
    evaluator.add(predictions);
  }

  annotation::VideoDataset dataset;
  std::vector<annotation::Prediction> predictions;
  Evaluator evaluator;
  json expected, details;
};

class VisApGoldenTest : public testing::Test {
 protected:
  template <class Check>
  void for_each_case(Check&& check) {
    const json cases = read_json(root() + "cases.json").at("cases");
    ASSERT_FALSE(cases.empty());
    for (const json& one : cases) {
      const std::string name = one.at("name");
      SCOPED_TRACE(name);
      Case golden(name);
      check(golden);
    }
  }
};

void expect_numbers(const VisAp& ap, const json& expected) {
  const auto numbers = ap.numbers();
  ASSERT_EQ(expected.size(), numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) EXPECT_NEAR(numbers[i], expected[i].get<double>(), kTolerance) << i;
}

void expect_cells(const CategoryAp& category, const json& expected) {
  for (size_t t = 0; t < kIouThresholds.size(); ++t) {
    for (size_t a = 0; a < kAreas.size(); ++a) {
      for (size_t m = 0; m < kDetectionLimits.size(); ++m) {
        const PrecisionRecall& cell = category.cells[a][m];
        EXPECT_NEAR(cell.average_precision(t), expected.at("AP_T_A_M")[t][a][m].get<double>(), kTolerance);
        EXPECT_NEAR(cell.recall[t], expected.at("recall_T_A_M")[t][a][m].get<double>(), kTolerance);
      }
    }
    if (!expected.contains("precision_T_R_all_100")) continue;
    for (size_t r = 0; r < kRecallThresholds.size(); ++r)
      EXPECT_NEAR(category.cells[0].back().precision[t][r], expected["precision_T_R_all_100"][t][r].get<double>(),
                  kTolerance);
  }
}

void expect_category(const CategoryAp& category, const json& expected) {
  SCOPED_TRACE(category.name);
  EXPECT_EQ(category.id, expected.at("id").get<std::int64_t>());
  EXPECT_EQ(category.name, expected.at("name").get<std::string>());
  EXPECT_NEAR(category.ap(), value_or(expected.at("AP"), -1), kTolerance);
  EXPECT_NEAR(category.ap_at(0), value_or(expected.at("AP50"), -1), kTolerance);
  EXPECT_NEAR(category.ap_at(5), value_or(expected.at("AP75"), -1), kTolerance);
  EXPECT_NEAR(category.ar(0), value_or(expected.at("AR_1"), -1), kTolerance);
  EXPECT_NEAR(category.ar(1), value_or(expected.at("AR_10"), -1), kTolerance);
  EXPECT_NEAR(category.ar(2), value_or(expected.at("AR_100"), -1), kTolerance);
  if (expected.contains("AP_T_A_M")) expect_cells(category, expected);
}

const AreaMatch& match_of(const PairDetails& pair, const std::string& area) {
  for (size_t a = 0; a < kAreas.size(); ++a)
    if (kAreas[a].name == area) return pair.matches[a];
  fail<Error>("unknown area range ", area);
}

void expect_pair(const PairDetails& pair, const json& expected) {
  SCOPED_TRACE("video " + std::to_string(pair.video_id) + ", category " + std::to_string(pair.category_id));
  EXPECT_EQ(pair.video_id, expected.at("video_id").get<std::int64_t>());
  EXPECT_EQ(pair.category_id, expected.at("category_id").get<std::int64_t>());
  EXPECT_EQ(pair.prediction_ids, expected.at("dt_ids").get<std::vector<std::int64_t>>());
  EXPECT_EQ(pair.truth_ids, expected.at("gt_ids").get<std::vector<std::int64_t>>());
  EXPECT_EQ(pair.intersections, flat<std::int64_t>(expected.at("inter")));
  EXPECT_EQ(pair.unions, flat<std::int64_t>(expected.at("union")));
  for (const json& one : expected.at("match")) {
    const AreaMatch& match = match_of(pair, one.at("area"));
    EXPECT_EQ(match.truth_order, one.at("gt_order").get<std::vector<std::int64_t>>());
    EXPECT_EQ(match.truth_ignored, flags(one.at("gt_ignore")));
    for (size_t t = 0; t < kIouThresholds.size(); ++t) {
      EXPECT_EQ(match.matched[t], one.at("dt_match")[t].get<std::vector<std::int64_t>>());
      EXPECT_EQ(match.ignored[t], flags(one.at("dt_ignore")[t]));
    }
  }
}

std::vector<const EvaluatedVideo*> pointers(const std::vector<EvaluatedVideo>& videos) {
  std::vector<const EvaluatedVideo*> all;
  for (const EvaluatedVideo& video : videos) all.push_back(&video);
  return all;
}

TEST_F(VisApGoldenTest, ThresholdsHaveTheOfficialBits) {
  const json params = read_json(root() + "params.json");
  for (size_t i = 0; i < kIouThresholds.size(); ++i)
    EXPECT_EQ(kIouThresholds[i], std::stod(params["iouThrs_hex"][i].get<std::string>())) << i;
  for (size_t i = 0; i < kRecallThresholds.size(); ++i)
    EXPECT_EQ(kRecallThresholds[i], std::stod(params["recThrs_hex"][i].get<std::string>())) << i;
  for (size_t a = 0; a < kAreas.size(); ++a) {
    EXPECT_EQ(kAreas[a].name, params["areaRngLbl"][a].get<std::string>());
    EXPECT_EQ(kAreas[a].lowest, params["areaRng"][a][0].get<double>());
    EXPECT_EQ(kAreas[a].highest, params["areaRng"][a][1].get<double>());
  }
}

TEST_F(VisApGoldenTest, NumbersEqualTheOfficialEvaluator) {
  for_each_case([](const Case& golden) {
    expect_numbers(golden.evaluator.result().ap, golden.expected.at("stats_array"));
    EXPECT_TRUE(golden.evaluator.warnings().empty());
  });
}

TEST_F(VisApGoldenTest, CategoriesEqualTheOfficialEvaluator) {
  for_each_case([](const Case& golden) {
    const VisAp ap = golden.evaluator.result().ap;
    const json& expected = golden.expected.at("per_category");
    ASSERT_EQ(ap.categories.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) expect_category(ap.categories[i], expected[i]);
  });
}

TEST_F(VisApGoldenTest, SubsetsOfVideosEqualTheOfficialEvaluator) {
  int subsets = 0;
  for_each_case([&](const Case& golden) {
    if (!golden.expected.contains("video_subsets")) return;
    for (const json& subset : golden.expected["video_subsets"]) {
      const auto ids = subset.at("video_ids").get<std::vector<std::int64_t>>();
      expect_numbers(golden.evaluator.result(ids).ap, subset.at("stats_array"));
      ++subsets;
    }
  });
  EXPECT_GT(subsets, 0);
}

TEST_F(VisApGoldenTest, EveryMatchEqualsTheOfficialEvaluator) {
  for_each_case([](const Case& golden) {
    const auto pairs = match_details(pointers(golden.evaluator.videos()), golden.evaluator.categories());
    const json& expected = golden.details.at("pairs");
    ASSERT_EQ(pairs.size(), expected.size());
    for (size_t i = 0; i < pairs.size(); ++i) expect_pair(pairs[i], expected[i]);
  });
}

TEST_F(VisApGoldenTest, AverageAreasEqualTheOfficialEvaluator) {
  for_each_case([](const Case& golden) {
    std::map<std::int64_t, double> truths, predictions;
    for (const EvaluatedVideo& video : golden.evaluator.videos()) {
      for (const TruthTrack& track : video.truth.tracks) truths[track.annotation_id] = track.average_area;
      for (const PredictedTrack& track : video.predictions) predictions[track.id] = track.average_area;
    }
    for (const json& one : golden.details.at("gt_avg_area"))
      EXPECT_NEAR(truths.at(one[0].get<std::int64_t>()), one[1].get<double>(), kTolerance);
    const json& expected = golden.details.at("dt_avg_area");
    ASSERT_EQ(predictions.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(predictions.at(static_cast<std::int64_t>(i) + 1), expected[i].get<double>(), kTolerance);
  });
}

TEST_F(VisApGoldenTest, StreamingGivesTheSameNumbers) {
  for_each_case([](const Case& golden) {
    Evaluator one_by_one(golden.dataset);
    for (const annotation::Prediction& prediction : golden.predictions) one_by_one.add({&prediction, 1});
    EXPECT_EQ(one_by_one.result().ap.numbers(), golden.evaluator.result().ap.numbers());
  });
}

}  // namespace
}  // namespace visage::evaluation
