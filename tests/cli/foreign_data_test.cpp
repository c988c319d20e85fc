// A data set that somebody else made, through the program: checked, trained on, tracked and scored.
#include "cli/data.h"
#include "tensor/error.h"
#include "tests/cli/clip.h"
#include "tests/support/golden.h"
#include "train/data/sources.h"
#include "visage/annotation/rle.h"
#include "visage/media/jpeg.h"
#include "visage/media/png.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>
#include <sstream>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::Ended;
using test::read_text;
using test::run;
using test::write_text;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::vector<uint8_t> box(media::Size size, int x0, int y0, int side) {
  std::vector<uint8_t> mask(static_cast<size_t>(size.width) * size.height);
  for (int y = y0; y < y0 + side; ++y)
    for (int x = x0; x < x0 + side; ++x) mask[static_cast<size_t>(y) * size.width + x] = 1;
  return mask;
}

json counts(media::Size size, const std::vector<uint8_t>& mask) {
  return {{"size", {size.height, size.width}},
          {"counts", annotation::encode_rows(mask.data(), size.height, size.width).counts}};
}

media::Image picture(media::Size size, int x0, int y0, int side) {
  media::Image image(size);
  std::fill(image.rgb.begin(), image.rgb.end(), uint8_t{90});
  for (int y = y0; y < y0 + side; ++y)
    for (int x = x0; x < x0 + side; ++x) image.pixel(x, y)[0] = 220;
  return image;
}

// Two videos of different sizes and lengths, JPEG and PNG files whose names do not sort, videos and classes in no order
// and with gaps between their ids, an object annotated in a few frames only, run lengths beside polygons, a crowd
// region, a box that is missing, a class without objects.
class ForeignData : public testing::Test {
 protected:
  ForeignData() {
    const media::Size wide{128, 72}, tall{80, 112};
    json videos = json::array();
    json park{{"id", 31}, {"width", 128}, {"height", 72}, {"length", 7}, {"file_names", json::array()}};
    json moving = json::array(), sparse = json::array(), crowd = json::array();
    for (int t = 0; t < 7; ++t) {
      // 12.jpg, 11.jpg, 10.jpg, 9.jpg ...
      const std::string name = "park/view-a/" + std::to_string(12 - t) + ".jpg";
      write_image(name, media::encode_jpeg(picture(wide, 10 + 8 * t, 20, 24)));
      park["file_names"].push_back(name);
      moving.push_back(t == 3 ? json() : counts(wide, box(wide, 10 + 8 * t, 20, 24)));
      sparse.push_back(t == 0 || t == 6 ? json{{90, 50, 120, 50, 120, 70, 90, 70}} : json());
      crowd.push_back(counts(wide, box(wide, 0, 0, 9)));
    }
    json shop{{"id", 4}, {"width", 80}, {"height", 112}, {"length", 2}, {"file_names", {"shop/b.png", "shop/a.png"}}};
    for (const char* name : {"shop/a.png", "shop/b.png"})
      write_image(name, media::encode_png(picture(tall, 30, 40, 30)));
    const json still{counts(tall, box(tall, 30, 40, 30)), counts(tall, box(tall, 30, 40, 30))};
    set_ = {{"info", nullptr},
            {"licenses", json::array()},
            {"videos", {park, shop}},
            {"categories",
             {{{"id", 77}, {"name", "trolley"}}, {{"id", 3}, {"name", "bench"}}, {{"id", 20}, {"name", "cart"}}}},
            {"annotations",
             {track(900, 31, 77, 0, moving), track(12, 4, 3, 0, still), track(13, 31, 3, 0, sparse),
              track(14, 31, 77, 1, crowd)}}};
    set_["annotations"][1]["bboxes"][1] = nullptr;
    write_set();
  }
  void write_image(const std::string& name, const std::string& bytes) {
    const fs::path path = fs::path(data_) / "JPEGImages" / name;
    fs::create_directories(path.parent_path());
    write_text(path.string(), bytes);
  }
  static json track(int id, int video, int category, int crowd, const json& masks) {
    json areas = json::array(), boxes = json::array();
    for (const json& mask : masks) {
      areas.push_back(mask.is_null() ? json() : json(500.5));
      boxes.push_back(mask.is_null() ? json() : json({1.5, 2, 20, 20}));
    }
    return {{"id", id},    {"video_id", video},      {"category_id", category}, {"iscrowd", crowd},
            {"length", 1}, {"segmentations", masks}, {"areas", areas},          {"bboxes", boxes}};
  }
  void write_set() const { write_text(data_ + "/labels_v2.json", set_.dump()); }

  static std::vector<std::string> model() {
    return {"--config", test::kTinyConfig, "--set", "model.detector.num_classes=3", "--set", "class_names=[]"};
  }
  static std::vector<std::string> with(std::vector<std::string> list, const std::vector<std::string>& more) {
    list.insert(list.end(), more.begin(), more.end());
    return list;
  }
  Ended train(const std::string& path) const {
    std::vector<std::string> arguments = with({"train", "--output", folder_ / "run"}, model());
    for (const char* key : {"steps=2", "clips=2", "frames=2", "num_points=64", "data.kind=ytvis", "data.least_edge=64",
                            "data.most_edge=64"})
      arguments = with(arguments, {"--set", std::string("train.") + key});
    return run(with(arguments, {"--set", "train.data.path=\"" + path + "\""}));
  }

  test::TemporaryFolder folder_;
  std::string data_ = folder_ / "their videos";
  json set_;
};

TEST_F(ForeignData, IsCheckedDescribedTrainedOnTrackedAndScored) {
  const Ended checked = run({"data", "check", data_, "--frames", "all"});
  EXPECT_EQ(checked.code, 0) << checked.err;
  EXPECT_THAT(checked.out,
              AllOf(HasSubstr("2, 9 frames, 2 to 7 a video"), HasSubstr("128x72 (1)"), HasSubstr("80x112 (1)"),
                    HasSubstr("classes    3"), HasSubstr("1 crowd regions"), HasSubstr("0 errors")));

  const Ended recipe = run({"data", "config", data_});
  ASSERT_EQ(recipe.code, 0) << recipe.err;
  write_text(folder_ / "my.toml", recipe.out);
  const Config config = config::load_config(folder_ / "my.toml");
  EXPECT_THAT(config.class_names, testing::ElementsAre("bench", "cart", "trolley"));
  EXPECT_EQ(config.model.detector.num_classes, 3);
  EXPECT_EQ(train::make_sources(config)[0].dataset->size(), 2);

  const Ended trained = train(data_);
  ASSERT_EQ(trained.code, 0) << trained.err;
  const Ended scored =
      run(with(with({"eval", "--data", data_}, model()),
               {"--annotations", data_ + "/labels_v2.json", "--weights", folder_ / "run/model.safetensors", "--output",
                folder_ / "results.json", "--json", folder_ / "scores.json"}));
  ASSERT_EQ(scored.code, 0) << scored.err;
  const json scores = json::parse(read_text(folder_ / "scores.json"));
  EXPECT_GE(scores.at("AP").get<double>(), 0);
  EXPECT_EQ(scores.at("categories").size(), 3u);
  const json results = json::parse(read_text(folder_ / "results.json"));
  for (const json& row : results) {
    EXPECT_THAT((std::set<int>{3, 20, 77}), testing::Contains(row.at("category_id").get<int>()));
    EXPECT_EQ(row.at("segmentations").size(), row.at("video_id") == 31 ? 7u : 2u);
  }
}

TEST_F(ForeignData, WhatIsBrokenIsRefusedByCheckAndTrainingInTheSameWords) {
  const json good = set_;
  const auto refused = [&](const std::string& named, const std::function<void(json&)>& change) {
    set_ = good;
    change(set_);
    write_set();
    fs::remove_all(folder_ / "run");
    const Ended checked = run({"data", "check", data_}), trained = train(data_);
    const std::string check = "visage data check: ", training = "visage train: ";
    EXPECT_EQ(checked.code, 1);
    EXPECT_EQ(trained.code, 1);
    EXPECT_THAT(checked.err, StartsWith(check));
    ASSERT_THAT(trained.err, HasSubstr(training));
    EXPECT_THAT(checked.err, HasSubstr(named));
    EXPECT_EQ(trained.err.substr(trained.err.find(training) + training.size()), checked.err.substr(check.size()));
  };
  refused("annotations[2] (id 13)", [](json& set) { set["annotations"][2]["category_id"] = 4; });
  refused("videos[0] (id 31)", [](json& set) { set["videos"][0]["length"] = 8; });
  refused("park/view-a/9.jpg", [&](json&) { fs::remove(fs::path(data_) / "JPEGImages/park/view-a/9.jpg"); });
}

TEST(DataGolden, MalformedSetsAreRefusedByCheckAndTrainingInTheSameWords) {
  const std::string folder = test::golden_eval_dir() + "/malformed/";
  const json index = json::parse(read_text(folder + "index.json"));
  int refused = 0;
  for (const json& entry : index.at("files")) {
    const std::string file = entry.at("file"), kind = entry.at("kind"), must = entry.at("must");
    if (kind == "results" || must != "refuse") continue;
    SCOPED_TRACE(file);
    ++refused;
    std::ostringstream printed;
    const std::string check =
        test::message_of<InputError>([&] { check_data({.path = folder + file, .options = {}}, printed); });
    Config config;
    config.train.data.kind = kind == "coco" ? DataKind::coco : DataKind::ytvis;
    config.train.data.path = folder + file;
    EXPECT_EQ(test::message_of<InputError>([&] { (void)train::make_sources(config); }), check);
    EXPECT_THAT(check, AllOf(HasSubstr(file), testing::Not(HasSubstr("\n"))));
    EXPECT_THAT(printed.str(), HasSubstr("error: "));
  }
  EXPECT_GT(refused, 50);
}

}  // namespace
}  // namespace visage::cli
