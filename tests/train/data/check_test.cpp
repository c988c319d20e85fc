#include "train/data/check.h"

#include "tensor/error.h"
#include "tests/support/golden.h"
#include "tests/train/data/data_files.h"
#include "visage/media/png.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

namespace visage::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CheckTest : public ::testing::Test {
 protected:
  // Rewrites the annotations of the video set.
  void edit(const std::function<void(json&)>& change, const std::string& file = "instances.json") {
    json all = json::parse(test::read_text(folder_ / file));
    change(all);
    test::write_text(folder_ / file, all.dump());
  }
  DataReport check(const DataOptions& options = {}) const { return check_data(folder_.path().string(), options); }

  test::TemporaryFolder folder_;
};

TEST_F(CheckTest, SummarisesVideos) {
  write_video_set(folder_);
  const DataReport report = check();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_EQ(report.annotations, folder_ / "instances.json");
  EXPECT_EQ(report.image_root, folder_ / "JPEGImages");
  EXPECT_EQ(report.format, Format::ytvis);
  const DataSummary& s = report.summary;
  EXPECT_EQ(s.videos, 2);
  EXPECT_EQ(s.frames, 10);
  EXPECT_EQ(s.shortest, 2);
  EXPECT_EQ(s.longest, 8);
  EXPECT_EQ(s.sizes.size(), 2u);
  EXPECT_EQ(s.sizes.at({96, 64}), 1);
  EXPECT_EQ(s.instances, 3);
  EXPECT_EQ(s.crowds, 1);
  EXPECT_EQ(s.visible, 6 + 4 + 1);
  EXPECT_EQ(s.absent, 2 + 4 + 1);
  EXPECT_EQ(s.videos_without_objects, 0);
  ASSERT_EQ(s.classes.size(), 3u);
  EXPECT_EQ(s.classes[0].category.name, "bird");
  EXPECT_EQ(s.classes[0].instances, 2);
  EXPECT_EQ(s.classes[2].instances, 0);
  EXPECT_THAT(report.warnings, ElementsAre(folder_ / "instances.json: 1 of 3 classes has no instance: cat"));
  std::ostringstream out;
  print(report, out);
  EXPECT_THAT(out.str(), AllOf(HasSubstr("2, 10 frames, 2 to 8 a video"), HasSubstr("60x80 (1)"),
                               HasSubstr("9  zebra  1 instances"), HasSubstr("1 crowd"), HasSubstr("0 errors")));
  EXPECT_EQ(open_training_data(folder_.path().string())->size(), 2);
}

TEST_F(CheckTest, SummarisesImages) {
  write_image_set(folder_);
  const DataReport report = check({.frames = FrameCheck::all});
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_EQ(report.format, Format::coco);
  EXPECT_EQ(report.image_root, folder_ / "images");
  EXPECT_EQ(report.summary.videos, 3);
  EXPECT_EQ(report.summary.instances, 2);
  EXPECT_EQ(report.summary.crowds, 1);
  EXPECT_EQ(report.summary.videos_without_objects, 1);
}

TEST_F(CheckTest, ReportsEveryProblemWithFileAndId) {
  write_video_set(folder_);
  edit([](json& all) {
    all["annotations"][0]["segmentations"][1]["counts"] = {5, 6};
    all["annotations"][1]["category_id"] = 77;
    all["annotations"][3]["areas"].push_back(3);
    all["annotations"].push_back({{"id", 90}});
    all["videos"][1]["height"] = 0;
  });
  const DataReport report = check({.frames = FrameCheck::none});
  // Annotation 24 belongs to the video that is left out, so its own problem is not seen.
  EXPECT_THAT(report.problems,
              ElementsAre(AllOf(HasSubstr("annotations[0]"), HasSubstr("id 21")),
                          AllOf(HasSubstr("annotations[4]"), HasSubstr("id 90"), HasSubstr("video_id")),
                          AllOf(HasSubstr("videos[1]"), HasSubstr("id 3"), HasSubstr("height")),
                          AllOf(HasSubstr("annotations[1]"), HasSubstr("id 22"), HasSubstr("77"))))
      << ::testing::PrintToString(report.problems);
  EXPECT_THAT(report.problems, Each(HasSubstr("instances.json")));
  EXPECT_EQ(report.dataset, nullptr);
}

TEST_F(CheckTest, TrainingRefusesInTheSameWords) {
  write_video_set(folder_);
  edit([](json& all) { all["annotations"][1]["category_id"] = 77; });
  const auto training = [&] {
    return test::message_of<InputError>([&] { (void)open_training_data(folder_.path().string()); });
  };
  ASSERT_EQ(check().problems.size(), 1u);
  EXPECT_EQ(training(), check().problems[0]);
  fs::remove(folder_.path() / "JPEGImages/lake/b.png");
  ASSERT_EQ(check().problems.size(), 2u);
  EXPECT_THAT(training(), AllOf(::testing::StartsWith(check().problems[0]), HasSubstr("1 more problem;")));
}

TEST_F(CheckTest, LooksAtImageFiles) {
  write_video_set(folder_);
  fs::remove(folder_.path() / "JPEGImages/deer/3.png");
  fs::remove(folder_.path() / "JPEGImages/deer/5.png");
  media::write_png(folder_ / "JPEGImages/lake/a.png", media::Image(61, 80));
  test::write_text(folder_ / "JPEGImages/lake/b.png", "no image");
  const auto missing = AllOf(HasSubstr("video 7"), HasSubstr("2 of 8"), HasSubstr("deer/3.png"));
  const auto size = AllOf(HasSubstr("video 3"), HasSubstr("lake/a.png"), HasSubstr("61x80"), HasSubstr("60x80"));
  const auto damaged = AllOf(HasSubstr("video 3"), HasSubstr("lake/b.png"));
  EXPECT_THAT(check().problems, ElementsAre(missing, size));
  EXPECT_THAT(check({.frames = FrameCheck::all}).problems, ElementsAre(missing, size, damaged));
  EXPECT_THAT(check({.frames = FrameCheck::none}).problems, IsEmpty());
  fs::remove_all(folder_.path() / "JPEGImages");
  EXPECT_THAT(check().problems, ElementsAre(AllOf(HasSubstr("instances.json"), HasSubstr("JPEGImages"))));
}

TEST_F(CheckTest, TrainingNeedsGroundTruthWithObjects) {
  write_video_set(folder_);
  edit([](json& all) {
    for (json& annotation : all["annotations"]) annotation["iscrowd"] = 1;
  });
  EXPECT_THAT(check().problems, IsEmpty());
  EXPECT_THROW((void)open_training_data(folder_.path().string()), InputError);
  edit([](json& all) { all.erase("annotations"); });
  EXPECT_THAT(check().problems, IsEmpty());
  EXPECT_THAT(test::message_of<InputError>([&] { (void)open_training_data(folder_.path().string()); }),
              AllOf(HasSubstr("instances.json"), HasSubstr("ground truth")));
}

TEST_F(CheckTest, FindsTheLayoutsOfTheOfficialSets) {
  write_video_set(folder_);
  const fs::path root = folder_.path();
  const auto move = [&](const char* annotations, const char* images) {
    const fs::path set = root / "set";
    fs::remove_all(set);
    for (const char* target : {annotations, images}) fs::create_directories((set / target).parent_path());
    fs::copy(root / "instances.json", set / annotations);
    fs::copy(root / "JPEGImages", set / images, fs::copy_options::recursive);
    const DataReport report = check_data((set / annotations).string());
    EXPECT_THAT(report.problems, IsEmpty()) << annotations;
    EXPECT_EQ(report.image_root, (set / images).string());
  };
  move("train.json", "train/JPEGImages");  // YouTube-VIS
  EXPECT_THAT(check_data((root / "set/train").string()).problems, IsEmpty());
  move("annotations/annotations_train.json", "train");    // OVIS
  move("annotations/train.json", "train/JPEGImages");     // OVIS, the other description
  move("annotations/instances_val2017.json", "val2017");  // COCO
  move("annotations/coco2ytvis2019_train.json", "train2017");
  move("annotations.json", "images");
  move("annotations.json", "JPEGImages");
}

TEST_F(CheckTest, SaysWhatIsMissing) {
  EXPECT_THAT(check().problems, ElementsAre(HasSubstr("no annotation file")));
  EXPECT_THAT(check_data(folder_ / "nowhere").problems, ElementsAre(HasSubstr("nowhere")));
  test::write_text(folder_ / "a.json", "{}");
  EXPECT_THAT(check().problems, ElementsAre(HasSubstr("\"videos\" is missing")));
  test::write_text(folder_ / "b.json", "{}");
  EXPECT_THAT(check().problems, ElementsAre(HasSubstr("several")));
}

TEST(CheckGoldenTest, MalformedFilesBehaveAsTheirIndexSays) {
  const std::string folder = test::golden_eval_dir() + "/malformed/";
  const json index = json::parse(std::ifstream(folder + "index.json"));
  int checked = 0;
  for (const json& entry : index["files"]) {
    const std::string file = entry["file"], kind = entry["kind"], must = entry["must"];
    if (kind == "results") continue;
    SCOPED_TRACE(file + ": " + entry["what"].get<std::string>());
    ++checked;
    const DataReport report = check_data(folder + file, {.frames = FrameCheck::none});
    EXPECT_THAT(report.problems, Each(AllOf(HasSubstr(file), ::testing::Not(HasSubstr("\n")))));
    if (must == "refuse") {
      EXPECT_THAT(report.problems, ::testing::Not(IsEmpty()));
    }
    if (must == "accept" || must == "accept_no_gt") {
      EXPECT_THAT(report.problems, IsEmpty());
      EXPECT_EQ(report.ground_truth,
                must == "accept" ? annotation::GroundTruth::present : annotation::GroundTruth::missing);
    }
    const auto open = [&] { (void)open_training_data(folder + file, {.frames = FrameCheck::none}); };
    if (must == "refuse" || must == "accept_no_gt") {
      EXPECT_THAT(test::message_of<InputError>(open), HasSubstr(file));
    }
    if (must == "accept") {
      EXPECT_NO_THROW(open());
    }
  }
  EXPECT_GT(checked, 0);
}

}  // namespace
}  // namespace visage::train
