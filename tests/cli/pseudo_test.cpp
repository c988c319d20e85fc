#include "cli/pseudo.h"

#include "tensor/error.h"
#include "visage/annotation/ytvis.h"
#include "visage/media/image_file.h"
#include "visage/pseudo/procedural.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <unistd.h>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;
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
  EXPECT_THAT(log_, HasSubstr("video 2/2"));
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
  EXPECT_EQ(first.size(), 13u);  // 12 frames and the annotations
  fs::remove_all(folder_);
  run();
  EXPECT_EQ(files(), first);
}

TEST_F(PseudoCommandTest, AnOwnSetIsReplacedOnlyWhenAsked) {
  command_.clips = Clips::mp4;
  run();
  EXPECT_THAT(error<InputError>(), HasSubstr("is not empty; pass --overwrite"));
  EXPECT_EQ(files().size(), 15u);  // 12 frames, two clips, annotations
  command_.existing = files::Existing::replace;
  command_.clips = Clips::none;
  command_.videos = 1;
  run();
  EXPECT_EQ(files().size(), 7u);
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
  struct Fails : std::stringbuf {
    int sync() override { throw std::runtime_error("stopped"); }
  } fails;
  std::ostream log(&fails);
  log.exceptions(std::ios::badbit);
  EXPECT_THROW(run_pseudo(command_, log), std::runtime_error);  // at the first line it says
  EXPECT_EQ(files(), before);
  run();
  EXPECT_NE(files(), before);
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
