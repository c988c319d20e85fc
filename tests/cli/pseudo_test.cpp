#include "cli/pseudo.h"

#include "tensor/error.h"
#include "tests/cli/program.h"
#include "tests/support/files.h"
#include "visage/annotation/ytvis.h"
#include "visage/media/image_file.h"
#include "visage/media/png.h"
#include "visage/pseudo/procedural.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <thread>
#include <unistd.h>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class PseudoCommandTest : public ::testing::Test {
 protected:
  PseudoCommandTest() {
    command_.output = folder_.string();
    command_.videos = 2;
    command_.options.size = {.width = 96, .height = 64};
    command_.options.frames = 6;
    command_.options.seed = 5;
    command_.clips = Clips::none;
  }
  ~PseudoCommandTest() override { fs::remove_all(folder_); }

  void run() {
    std::ostringstream log;
    run_pseudo(command_, log);
    log_ = log.str();
  }
  template <class E>
  std::string error() {
    try {
      run();
    } catch (const E& thrown) {
      return thrown.what();
    }
    return "no error";
  }
  std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> contents;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder_)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      contents[fs::relative(entry.path(), folder_).string()] = {std::istreambuf_iterator<char>(in), {}};
    }
    return contents;
  }

  // Images of one colour each.
  std::string picture_folder(const std::vector<std::string>& names) {
    const fs::path folder = inputs_.path() / "backgrounds";
    uint8_t grey = 40;
    for (const std::string& name : names) {
      fs::create_directories((folder / name).parent_path());
      media::Image image(50, 30);
      std::fill(image.rgb.begin(), image.rgb.end(), grey += 40);
      media::write_png((folder / name).string(), image);
    }
    return folder.string();
  }
  // COCO instances: image 1 has a red person and a blue dog, image 2 a green cat.
  std::string coco_file() {
    const auto image = [&](const char* name, const std::vector<std::pair<int, std::array<uint8_t, 3>>>& objects) {
      media::Image picture(320, 200);
      for (const auto& [x0, color] : objects)
        for (int64_t y = 40; y < 120; ++y)
          for (int64_t x = x0; x < x0 + 80; ++x) std::copy(color.begin(), color.end(), picture.pixel(x, y));
      fs::create_directories(inputs_.path() / "coco/train2017");
      media::write_png(inputs_ / (std::string("coco/train2017/") + name), picture);
    };
    image("1.png", {{20, {200, 0, 0}}, {140, {0, 0, 200}}});
    image("2.png", {{60, {0, 200, 0}}});
    const auto object = [](int id, int image_id, int category, int x) {
      return json{{"id", id},
                  {"image_id", image_id},
                  {"category_id", category},
                  {"iscrowd", 0},
                  {"area", 6400},
                  {"bbox", {x, 40, 80, 80}},
                  {"segmentation", {{x, 40, x + 80, 40, x + 80, 120, x, 120}}}};
    };
    json all{
        {"images",
         {{{"id", 1}, {"width", 320}, {"height", 200}, {"file_name", "1.png"}},
          {{"id", 2}, {"width", 320}, {"height", 200}, {"file_name", "2.png"}}}},
        {"categories", {{{"id", 1}, {"name", "person"}}, {{"id", 17}, {"name", "cat"}}, {{"id", 18}, {"name", "dog"}}}},
        {"annotations", {object(11, 1, 1, 20), object(12, 1, 18, 140), object(13, 2, 17, 60)}}};
    fs::create_directories(inputs_.path() / "coco/annotations");
    test::write_text(inputs_ / "coco/annotations/instances_train2017.json", all.dump());
    return inputs_ / "coco/annotations/instances_train2017.json";
  }
  // A command whose videos are made of these.
  void use_images() {
    command_.coco = coco_file();
    command_.classes = "coco";
    command_.backgrounds = picture_folder({"a.png", "deeper/b.png", "c.png"});
    command_.options.size = {.width = 240, .height = 160};
    command_.options.most_objects = 3;
  }

  test::TemporaryFolder inputs_;
  fs::path folder_ = fs::path(::testing::TempDir()) / ("visage_pseudo_" + std::to_string(::getpid()) + "_" +
                                                       ::testing::UnitTest::GetInstance()->current_test_info()->name());
  PseudoCommand command_;
  std::string log_;
};

TEST_F(PseudoCommandTest, FramesAndAnnotationsAreThoseOfTheGenerator) {
  run();
  const annotation::VideoDataset data = annotation::read_ytvis((folder_ / "swap" / "instances.json").string());
  ASSERT_EQ(data.videos.size(), 2u);
  EXPECT_EQ(data.categories.size(), 8u);
  EXPECT_THAT(log_, HasSubstr("wrote " + (folder_ / "swap").string()));
  size_t track = 0;
  for (int64_t index = 0; index < 2; ++index) {
    const pseudo::PseudoVideo video(command_.options, index, pseudo::ProceduralObjects(),
                                    pseudo::ProceduralBackgrounds());
    ASSERT_EQ(data.videos[index].length(), 6);
    for (int64_t t = 0; t < 6; ++t) {
      const pseudo::PseudoFrame frame = video.render(t);
      const fs::path file = folder_ / "swap" / "JPEGImages" / data.videos[index].file_names[t];
      EXPECT_EQ(media::read_image(file.string()).rgb, frame.image.rgb);
      for (size_t i = 0; i < video.objects().size(); ++i) {
        const annotation::TrackAnnotation& annotation = data.annotations.at(track + i);
        const auto mask = video.mask(frame, static_cast<int64_t>(i));
        EXPECT_EQ(annotation.masks[t], mask);
        EXPECT_EQ(annotation.category_id, video.objects()[i].category_id);
        EXPECT_EQ(annotation.video_id, data.videos[index].id);
        if (mask) {
          EXPECT_EQ(annotation.areas[t], static_cast<double>(area(*mask)));
          EXPECT_EQ(annotation.boxes[t], bounding_box(*mask));
        }
      }
    }
    track += video.objects().size();
  }
  EXPECT_EQ(track, data.annotations.size());
}

TEST_F(PseudoCommandTest, EqualSeedsGiveEqualFiles) {
  run();
  const auto first = files();
  EXPECT_EQ(first.size(), 14u);  // 12 frames, the annotations and the manifest
  fs::remove_all(folder_);
  run();
  EXPECT_EQ(files(), first);
}

TEST_F(PseudoCommandTest, AnOwnSetIsReplacedOnlyWhenAsked) {
  command_.clips = Clips::mp4;
  run();
  EXPECT_THAT(error<InputError>(), HasSubstr("is not empty; pass --overwrite"));
  EXPECT_EQ(files().size(), 16u);  // 12 frames, two clips, annotations, manifest
  command_.existing = files::Existing::replace;
  command_.clips = Clips::none;
  command_.videos = 1;
  run();
  EXPECT_EQ(files().size(), 8u);
}

TEST_F(PseudoCommandTest, WhatIsNotAnOwnSetStaysAsItIs) {
  command_.existing = files::Existing::replace;
  const fs::path set = folder_ / "swap";
  fs::create_directories(set / "JPEGImages/video_0000");
  std::ofstream(set / "JPEGImages/video_0000/00000.png") << "a frame of a real data set";
  const auto expect_refusal = [&](const char* reason) {
    const auto before = files();
    EXPECT_THAT(error<InputError>(), HasSubstr(reason));
    EXPECT_EQ(files(), before);
  };
  expect_refusal("holds something else than a pseudo data set");
  std::ofstream(set / "instances.json") << "{\"info\": {\"description\": \"YouTube-VIS\"}}";
  expect_refusal("holds something else than a pseudo data set");
  fs::remove_all(set);
  run();
  for (const char* name : {"notes.txt", "JPEGImages/mine/00000.png", "JPEGImages/video_0000/notes.txt",
                           "JPEGImages/video_0001/deeper/00000.png", "video_x.mp4"}) {
    fs::create_directories((set / name).parent_path());
    std::ofstream(set / name) << "mine";
    expect_refusal("is not part of the pseudo data set around it");
    fs::remove(set / name);
    if (fs::is_empty((set / name).parent_path())) fs::remove((set / name).parent_path());
  }
  run();
}

TEST_F(PseudoCommandTest, TheOldSetStaysUntilTheNewOneIsComplete) {
  run();
  const auto before = files();
  command_.existing = files::Existing::replace;
  command_.options.seed = 6;
  std::ofstream(folder_ / "swap.visage-partial") << "of a killed run";
  command_.backgrounds = picture_folder({"a.png", "b.png"});
  test::write_text(command_.backgrounds + "/b.png", "no image");
  command_.videos = 8;  // one of which will draw it
  EXPECT_THAT(error<InputError>(), HasSubstr("b.png"));
  EXPECT_EQ(files(), before);
  command_.backgrounds.clear();
  run();
  EXPECT_NE(files(), before);
}

TEST_F(PseudoCommandTest, ObjectsAndBackgroundsComeFromImages) {
  use_images();
  command_.videos = 4;
  run();
  const annotation::VideoDataset data = annotation::read_ytvis((folder_ / "swap/instances.json").string());
  EXPECT_EQ(data.categories.size(), 3u);
  const json manifest = json::parse(test::read_text((folder_ / "swap/manifest.json").string()));
  std::set<std::string> backgrounds;
  size_t track = 0;
  for (const json& video : manifest["videos"]) {
    backgrounds.insert(video["background"].get<std::string>());
    for (const json& object : video["objects"]) {
      const annotation::TrackAnnotation& annotation = data.annotations.at(track++);
      EXPECT_EQ(annotation.category_id, object["category_id"]);
      EXPECT_EQ(object["image_id"], object["annotation_id"] == 13 ? 2 : 1);
      const media::Image frame = media::read_image(
          (folder_ / "swap/JPEGImages" / data.videos[data.video_index.at(annotation.video_id)].file_names[0]).string());
      const std::vector<uint8_t> mask = decode_rows(*annotation.masks[0]);
      const std::map<int64_t, int> channel{{1, 0}, {17, 1}, {18, 2}};
      int64_t inside = 0, own = 0;
      for (size_t p = 0; p < mask.size(); ++p) {
        inside += mask[p];
        own += mask[p] && frame.rgb[3 * p + channel.at(annotation.category_id)] > 90;
      }
      EXPECT_GT(inside, 500);
      EXPECT_GT(own, inside * 95 / 100) << "the mask lies on the object";
    }
  }
  EXPECT_EQ(track, data.annotations.size());
  EXPECT_THAT(backgrounds, ::testing::IsSubsetOf({"a.png", "deeper/b.png", "c.png"}));
  EXPECT_GT(backgrounds.size(), 1u);
}

TEST_F(PseudoCommandTest, AManifestMakesTheSetAgainByteByByte) {
  for (const bool images : {false, true}) {
    SCOPED_TRACE(images ? "images" : "procedural");
    if (images) use_images();
    if (images) command_.options.frame_size = pseudo::FrameSize::upstream;
    command_.options.frames = images ? 3 : 6;
    command_.format = images ? pseudo::FrameFormat::jpg : pseudo::FrameFormat::png;
    run();
    const auto before = files();
    PseudoCommand again{.output = command_.output,
                        .coco = command_.coco,
                        .backgrounds = command_.backgrounds,
                        .manifest = inputs_ / "manifest.json"};
    fs::copy(folder_ / "swap/manifest.json", again.manifest, fs::copy_options::overwrite_existing);
    fs::remove_all(folder_);
    std::ostringstream log;
    run_pseudo(again, log);
    EXPECT_EQ(files(), before);
    fs::remove_all(folder_);
    if (images) {
      again.backgrounds.clear();
      EXPECT_THAT(test::message_of<UsageError>([&] { run_pseudo(again, log); }), HasSubstr("--backgrounds"));
      again.coco.clear();
      EXPECT_THAT(test::message_of<UsageError>([&] { run_pseudo(again, log); }), HasSubstr("--coco"));
    }
  }
}

TEST_F(PseudoCommandTest, AManifestThatDoesNotFitIsExplained) {
  use_images();
  run();
  command_.manifest = inputs_ / "manifest.json";
  const std::string good = test::read_text((folder_ / "swap/manifest.json").string());
  fs::remove_all(folder_);
  const auto refused = [&](const std::function<void(json&)>& change) {
    json manifest = json::parse(good);
    change(manifest);
    test::write_text(command_.manifest, manifest.dump());
    const std::string message = error<InputError>();
    EXPECT_FALSE(fs::exists(folder_ / "swap"));
    return message;
  };
  EXPECT_THAT(refused([](json& m) { m["videos"][0]["objects"][0]["annotation_id"] = 99; }),
              HasSubstr("hold no annotation 99"));
  EXPECT_THAT(refused([](json& m) { m["videos"][0]["objects"][0]["image_id"] = 7; }),
              HasSubstr("cannot be made again"));
  EXPECT_THAT(refused([](json& m) { m["videos"][0]["background"] = "x.png"; }), HasSubstr("no background \"x.png\""));
  EXPECT_THAT(refused([](json& m) { m["videos"][0]["objects"].erase(0); }), HasSubstr("its options and seed give"));
  EXPECT_THAT(refused([](json& m) { m["seed"] = 77; }), HasSubstr("manifest"));
  EXPECT_THAT(refused([](json& m) { m.erase("videos"); }), HasSubstr("manifest.json: is no manifest"));
  EXPECT_THAT(refused([](json& m) { m["videos"].clear(); }), HasSubstr("lists no video"));
  EXPECT_THAT(refused([](json& m) { m["mode"] = "swp"; }), HasSubstr("\"swp\""));
  EXPECT_THAT(refused([](json& m) { m["visage_pseudo_manifest"] = 9; }), HasSubstr("version 9"));
  test::write_text(command_.manifest, "{");
  EXPECT_THAT(error<InputError>(), HasSubstr("manifest.json: is no manifest"));
}

TEST_F(PseudoCommandTest, ImagesThatCannotBeUsedAreNamed) {
  use_images();
  test::write_text(inputs_ / "coco/train2017/1.png", "no image");
  command_.videos = 8;
  EXPECT_THAT(error<InputError>(), HasSubstr("train2017/1.png"));
  fs::remove(inputs_ / "coco/train2017/1.png");
  EXPECT_THAT(error<InputError>(), HasSubstr("train2017/1.png"));
  media::write_png(inputs_ / "coco/train2017/1.png", media::Image(100, 100));
  EXPECT_THAT(error<InputError>(), HasSubstr("is 100x100, the annotations say 320x200 (image 1)"));
  use_images();
  command_.options.least_objects = command_.options.most_objects = 4;
  EXPECT_THAT(error<InputError>(), HasSubstr("only 3 objects that fit a frame of 240x160; 4 are needed"));
  command_.options.least_objects = 2;
  command_.classes = "ytvis_2019";
  EXPECT_THAT(error<InputError>(), HasSubstr("a data set has no class \"bicycle\""));
  fs::create_directories(inputs_ / "empty");
  command_.backgrounds = inputs_ / "empty";
  command_.coco.clear();
  EXPECT_THAT(error<InputError>(), HasSubstr("empty: holds no images"));
  command_.backgrounds = inputs_ / "nowhere";
  EXPECT_THAT(error<InputError>(), HasSubstr("nowhere: is no folder"));
  EXPECT_FALSE(fs::exists(folder_ / "swap"));
}

TEST_F(PseudoCommandTest, BothModesShowTheSameVideosButForTheSwap) {
  command_.modes = {pseudo::Mode::track, pseudo::Mode::swap};
  run();
  const auto track = annotation::read_ytvis((folder_ / "track/instances.json").string());
  const auto swap = annotation::read_ytvis((folder_ / "swap/instances.json").string());
  ASSERT_EQ(track.annotations.size(), swap.annotations.size());
  bool differ = false;
  for (size_t i = 0; i < track.annotations.size(); ++i) {
    EXPECT_EQ(track.annotations[i].category_id, swap.annotations[i].category_id);
    EXPECT_EQ(track.annotations[i].masks.front(), swap.annotations[i].masks.front());
    differ |= track.annotations[i].masks.back() != swap.annotations[i].masks.back();
  }
  EXPECT_TRUE(differ);
  EXPECT_EQ(test::read_text((folder_ / "track/JPEGImages/video_0000/00000.png").string()),
            test::read_text((folder_ / "swap/JPEGImages/video_0000/00000.png").string()));
  command_.split = "one";
  EXPECT_THAT(error<UsageError>(), HasSubstr("--split names one folder"));
}

TEST_F(PseudoCommandTest, CtrlCLeavesNothing) {
  test::Program program({"pseudo", "-o", folder_.string(), "--videos", "100000", "--size", "96x64", "--clips", "none"});
  const fs::path partial = folder_ / "swap.visage-partial/JPEGImages/video_0001";
  for (int i = 0; i < 600 && !fs::exists(partial); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  program.signal(SIGINT);
  const test::Ended ended = program.wait();
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("interrupted; nothing was written to " + (folder_ / "swap").string()));
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(PseudoCommandTest, OptionsAManifestDecidesAreRefusedBesideIt) {
  const test::Ended ended =
      test::run({"pseudo", "-o", folder_.string(), "--manifest", "manifest.json", "--videos", "3"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("--manifest"), HasSubstr("--videos")));
}

TEST_F(PseudoCommandTest, ClipsAreWrittenBesideTheFrames) {
  command_.clips = Clips::mp4;
  command_.split = "train";
  run();
  for (const char* stem : {"video_0000", "video_0001"}) {
    const fs::path clip = folder_ / "train" / stem;
    EXPECT_TRUE(fs::exists(clip.string() + ".mp4") || fs::exists(clip.string() + ".gif"));
  }
}

TEST_F(PseudoCommandTest, WrongUseIsRefusedBeforeAnythingIsWritten) {
  command_.videos = 0;
  EXPECT_THAT(error<UsageError>(), HasSubstr("videos must be between"));
  command_.videos = 1;
  command_.options.frames = 1;
  EXPECT_THAT(error<UsageError>(), HasSubstr("frames must be between 3"));
  EXPECT_FALSE(fs::exists(folder_));
  command_.options.frames = 6;
  command_.split = "../elsewhere";
  EXPECT_THAT(error<UsageError>(), HasSubstr("name of one folder"));
  command_.split.clear();
  command_.output = "/proc/none";
  EXPECT_THAT(error<InputError>(), HasSubstr("/proc/none"));
}

}  // namespace
}  // namespace visage::cli
