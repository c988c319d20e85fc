#include "tensor/error.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"
#include "tests/support/source_tree.h"
#include "train/data/sources.h"
#include "visage/media/png.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <set>

namespace visage::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

constexpr media::Size kSize{64, 48};

// The classes of an official data set as its annotation file lists them.
json official_classes(const std::string& name) {
  const json lists = json::parse(test::read_text(test::golden_eval_dir() + "/categories.json"));
  json classes = json::array();
  for (const json& c : lists.at(name)) classes.push_back({{"id", c["id"]}, {"name", c["name"]}});
  return classes;
}

void write_image(const fs::path& path) {
  fs::create_directories(path.parent_path());
  media::write_png(path.string(), media::Image(kSize));
}

json square() { return json{{8, 8, 40, 8, 40, 40, 8, 40}}; }

// A video of six frames with an object, in an official layout.
void write_videos(const fs::path& annotations, const fs::path& images, const json& classes) {
  json files = json::array(), boxes = json::array(), masks = json::array(), areas = json::array();
  for (int i = 0; i < 6; ++i) {
    files.push_back("a/" + std::to_string(i) + ".png");
    write_image(images / files.back().get<std::string>());
    boxes.push_back({8, 8, 32, 32});
    masks.push_back(square());
    areas.push_back(1024);
  }
  fs::create_directories(annotations.parent_path());
  test::write_text(annotations.string(),
                   json{{"videos", {{{"id", 1}, {"width", 64}, {"height", 48}, {"length", 6}, {"file_names", files}}}},
                        {"categories", classes},
                        {"annotations",
                         {{{"id", 1},
                           {"video_id", 1},
                           {"category_id", classes[0]["id"]},
                           {"iscrowd", 0},
                           {"areas", areas},
                           {"bboxes", boxes},
                           {"segmentations", masks}}}}}
                       .dump());
}

// An image with one object, of the first class that all official tables know.
void write_images(const fs::path& annotations, const fs::path& images) {
  write_image(images / "1.png");
  fs::create_directories(annotations.parent_path());
  test::write_text(annotations.string(),
                   json{{"images", {{{"id", 1}, {"width", 64}, {"height", 48}, {"file_name", "1.png"}}}},
                        {"categories", official_classes("coco")},
                        {"annotations",
                         {{{"id", 1},
                           {"image_id", 1},
                           {"category_id", 1},
                           {"iscrowd", 0},
                           {"area", 1024},
                           {"bbox", {8, 8, 32, 32}},
                           {"segmentation", square()}}}}}
                       .dump());
}

// The official data sets in miniature, in the folders that the recipes name.
class RecipesGolden : public ::testing::Test {
 protected:
  RecipesGolden() {
    const fs::path root = folder_.path() / "datasets";
    for (const char* year : {"2019", "2021", "2022"})
      write_videos(root / (std::string("ytvis_") + year) / "train.json",
                   root / (std::string("ytvis_") + year) / "train/JPEGImages",
                   official_classes(std::string("ytvis_") + (year == std::string("2019") ? "2019" : "2021")));
    write_videos(root / "ovis/annotations/annotations_train.json", root / "ovis/train", official_classes("ovis"));
    write_images(root / "coco/annotations/instances_train2017.json", root / "coco/train2017");
  }
  Config recipe(const std::string& name) const {
    Config config = config::load_config(test::source_dir() + "/configs/" + name + ".toml");
    for (std::string* path : {&config.train.data.path, &config.train.data.joint.path})
      if (!path->empty()) *path = folder_ / *path;
    return config;
  }

  test::TemporaryFolder folder_;
};

TEST_F(RecipesGolden, EveryConfigurationFindsItsDataAndDrawsClips) {
  std::set<std::string> drawn;
  for (const auto& entry : fs::directory_iterator(test::source_dir() + "/configs")) {
    SCOPED_TRACE(entry.path());
    Config config = recipe(entry.path().stem().string());
    config.train.clips = 1;
    const BatchMaker maker(make_sources(config), batch_options(config.train));
    const Batch batch = maker.make(0);
    EXPECT_EQ(batch.frames, config.train.frames);
    EXPECT_FALSE(batch.targets[0].labels.empty());
    for (const std::int64_t label : batch.targets[0].labels) EXPECT_LT(label, config.model.detector.num_classes);
    drawn.insert(entry.path().stem().string());
  }
  EXPECT_THAT(drawn, ::testing::IsSupersetOf({"visage_r50_coco", "visage_r50_ovis", "visage_r50_ytvis19",
                                              "visage_r50_ytvis21", "visage_r50_ytvis22", "synthetic_small"}));
}

TEST_F(RecipesGolden, VideosAndImagesAreMixedAsTheOfficialLoaderMixesThem) {
  const Config config = recipe("visage_r50_ytvis19");
  const std::vector<Source> sources = make_sources(config);
  ASSERT_EQ(sources.size(), 2u);
  EXPECT_EQ(sources[0].dataset->material(), Material::videos);
  EXPECT_EQ(sources[1].dataset->material(), Material::images);
  EXPECT_EQ(sources[1].ratio, 0.75);
  EXPECT_EQ(sources[1].clips.label_map.size(), 80u);
  EXPECT_EQ(sources[0].clips.augment.most_rotation, 0);
  EXPECT_EQ(sources[1].clips.augment.most_rotation, 15);
  EXPECT_EQ(sources[0].clips.augment.longest_edge, 768);
  EXPECT_EQ(sources[0].clips.augment.short_edges, AugmentOptions().short_edges);
  const BatchMaker maker(sources, batch_options(config.train));
  int images = 0;
  for (std::int64_t step = 0; step < 400; ++step) {
    images += static_cast<int>(maker.source_of(step, 0));
    EXPECT_EQ(maker.source_of(step, 0), maker.source_of(step, 15));
  }
  EXPECT_NEAR(images / 400.0, 0.75 / 1.75, 0.08);
}

TEST_F(RecipesGolden, MixedBatchesAndCopyPasteAreOneKeyEach) {
  Config config = recipe("visage_r50_ytvis19");
  config::apply_override(config, "train.data.joint.mixing=mixed");
  config::apply_override(config, "train.data.copy_paste=true");
  config::apply_override(config, "train.data.sampling=without_replacement");
  const std::vector<Source> sources = make_sources(config);
  EXPECT_FALSE(sources[0].clips.copy_paste);
  EXPECT_TRUE(sources[1].clips.copy_paste);
  EXPECT_EQ(sources[0].clips.replacement, Replacement::without);
  const BatchMaker maker(sources, batch_options(config.train));
  bool differ = false;
  for (std::int64_t step = 0; step < 8; ++step) differ |= maker.source_of(step, 0) != maker.source_of(step, 1);
  EXPECT_TRUE(differ);
}

TEST_F(RecipesGolden, KeysThatDoNotFitTheDataAreExplained) {
  const auto message = [](const Config& config) {
    return test::message_of<UsageError>([&] { (void)make_sources(config); });
  };
  Config config = recipe("visage_r50_ytvis19");
  config.train.data.kind = DataKind::coco;
  EXPECT_THAT(message(config), HasSubstr("holds videos; set train.data.kind = \"ytvis\""));
  config = recipe("visage_r50_coco");
  config.train.data.kind = DataKind::ytvis;
  EXPECT_THAT(message(config), HasSubstr("holds images; set train.data.kind = \"coco\""));
  config.train.data.path.clear();
  EXPECT_THAT(message(config), HasSubstr("train.data.path is empty"));
  config = recipe("visage_r50_ytvis19");
  config.train.data.joint.classes = "coco_to_ytvis";
  EXPECT_THAT(message(config), HasSubstr("unknown category mapping \"coco_to_ytvis\""));
  config.train.data.joint.classes = "coco_to_ytvis_2021";  // "car" is "sedan" in 2019
  EXPECT_THAT(test::message_of<InputError>([&] { (void)make_sources(config); }), HasSubstr("no class \"car\""));
}

}  // namespace
}  // namespace visage::train
