#include "visage/experiments/paper_tables.h"

#include "visage/experiments/sweep.h"

#include <gmock/gmock.h>

namespace visage::experiments {
namespace {

const TrackingConfig kBase{.alpha = 0.75, .window = 5};

TEST(PaperTables, ChangeWhatTheyAreAbout) {
  const AblationTable memory = ablation_table(Ablation::memory, kBase);
  ASSERT_EQ(memory.rows.size(), 4u);
  EXPECT_EQ(memory.rows[0].tracking, (TrackingConfig{.alpha = 0, .window = 1}));
  EXPECT_EQ(memory.rows[1].tracking, (TrackingConfig{.alpha = 0.75, .window = 1}));
  EXPECT_EQ(memory.rows[2].tracking, (TrackingConfig{.alpha = 0, .window = 5}));
  EXPECT_EQ(memory.rows[3].tracking, kBase);
  EXPECT_EQ(memory.rows[3].paper.front(), 55.1);

  const AblationTable alpha = ablation_table(Ablation::alpha, {.alpha = 0.3, .window = 2});
  ASSERT_EQ(alpha.rows.size(), 5u);
  EXPECT_EQ(alpha.rows[4].tracking, (TrackingConfig{.alpha = 1, .window = 2}));

  const AblationTable pseudo = ablation_table(Ablation::pseudo, kBase);
  EXPECT_FALSE(pseudo.rows[0].tracking) << "another system";
  EXPECT_EQ(pseudo.rows[4].tracking, TrackingConfig{.tracker = TrackerKind::ctvis}) << "as it comes";
  EXPECT_EQ(pseudo.rows[6].paper, (std::vector<std::optional<double>>{65.8, 63.0}));

  const AblationTable trackers = ablation_table(Ablation::trackers, kBase);
  ASSERT_EQ(trackers.rows.size(), 12u);
  const TrackingConfig &without = *trackers.rows[3].tracking, &with = *trackers.rows[4].tracking;
  EXPECT_EQ(with.tracker, TrackerKind::ctvis);
  EXPECT_EQ(with.ctvis.embedding, Embedding::both) << "what VISAGE compares";
  EXPECT_EQ(with.ctvis.nms_iou, 0.6);
  EXPECT_EQ(without.ctvis.nms_iou, 1);
  EXPECT_EQ(trackers.rows[5].tracking->ctvis.solver, Solver::hungarian);
  EXPECT_EQ(trackers.rows[5].tracking->ctvis.nms_iou, 0.6);
  EXPECT_EQ(trackers.rows[11].tracking, kBase);
  for (const AblationTable& table : {memory, alpha, pseudo, trackers})
    for (const AblationRow& row : table.rows) EXPECT_EQ(row.paper.size(), table.paper_columns.size()) << row.name;
}

TEST(PaperTables, TheWindowOfTheConfigurationIsAmongTheWindows) {
  const AblationTable table = ablation_table(Ablation::window, {.window = 4});
  EXPECT_EQ(table.rows[0].tracking->window, 1);
  EXPECT_EQ(table.rows[3].tracking->window, 4);
}

TEST(PaperTables, AreOfTheTrackerOfVisageUnlessTheySayOtherwise) {
  const TrackingConfig configured{.tracker = TrackerKind::minvis, .alpha = 0.75, .window = 5};
  EXPECT_EQ(ablation_table(Ablation::memory, configured).rows[3].tracking, kBase);
  EXPECT_EQ(ablation_table(Ablation::trackers, configured).rows[11].tracking, kBase);
}

TEST(PaperTables, EachSettingIsRunOnce) {
  const AblationTable tables[] = {ablation_table(Ablation::memory, kBase), ablation_table(Ablation::alpha, kBase),
                                  ablation_table(Ablation::pseudo, kBase), ablation_table(Ablation::weighting, kBase),
                                  ablation_table(Ablation::trackers, kBase)};
  EXPECT_EQ(settings_of(tables).size(), 4u + 3u + 4u + 1u + 11u);
  EXPECT_EQ(settings_of({tables, 1}).back(), kBase);
}

TEST(Spread, IsMeanAndSampleDeviation) {
  const Spread three = spread_of(std::vector<double>{1, 2, 6});
  EXPECT_DOUBLE_EQ(three.mean, 3);
  EXPECT_DOUBLE_EQ(three.deviation, std::sqrt(7));
  EXPECT_EQ(spread_of(std::vector<double>{4}).deviation, 0);
}

}  // namespace
}  // namespace visage::experiments
