#include "visage/media/frame_source.h"

#include "tensor/error.h"
#include "tests/support/files.h"
#include "tests/visage/media/pictures.h"
#include "visage/media/natural_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

namespace visage::media {
namespace {

using test::ppm;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using visage::test::message_of;
using visage::test::TemporaryFolder;
using visage::test::write_text;

std::vector<std::string> names_of(const SourceOptions& options) {
  const auto source = open_source(options);
  std::vector<std::string> names;
  while (auto frame = source->next()) names.push_back(frame->name);
  return names;
}

void read_all(const SourceOptions& options) {
  const auto source = open_source(options);
  while (source->next()) continue;
}

TEST(NaturalOrder, CountsLikeAPerson) {
  EXPECT_TRUE(natural_less("img2.png", "img10.png"));
  EXPECT_FALSE(natural_less("img10.png", "img2.png"));
  EXPECT_TRUE(natural_less("a9b10", "a9b11"));
  EXPECT_TRUE(natural_less("img", "img0"));
  EXPECT_TRUE(natural_less("img1", "img01"));
  EXPECT_TRUE(natural_less("img01a", "img1b"));
  EXPECT_FALSE(natural_less("x", "x"));
  EXPECT_TRUE(natural_less("7", "123456789012345678901234567890"));
}

TEST(FrameSource, ReadsAFolderInNaturalOrder) {
  const TemporaryFolder folder;
  for (const int i : {10, 9, 1}) write_text(folder / ("img" + std::to_string(i) + ".ppm"), ppm(4, 3, i));
  write_text(folder / "notes.txt", "not an image");
  write_text(folder / "._img1.ppm", "what another system left");
  const auto source = open_source({.path = folder.path().string()});
  EXPECT_EQ(source->info().name, folder.path().filename().string());
  EXPECT_EQ(source->info().size, (Size{4, 3}));
  EXPECT_EQ(source->info().frames, 3);
  EXPECT_EQ(source->info().fps, 25);
  int64_t index = 0;
  for (const int i : {1, 9, 10}) {
    const auto frame = source->next();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->name, "img" + std::to_string(i) + ".ppm");
    EXPECT_EQ(frame->index, index++);
    EXPECT_THAT(std::vector<int>(frame->image.pixel(3, 2), frame->image.pixel(3, 2) + 3), ElementsAre(i, 0x40, 0x80));
  }
  EXPECT_FALSE(source->next());
  EXPECT_FALSE(source->next());
}

TEST(FrameSource, SelectsStartStrideAndCount) {
  const TemporaryFolder folder;
  for (int i = 0; i < 10; ++i) write_text(folder / (std::to_string(i) + ".ppm"), ppm(1, 1, i));
  const std::string path = folder.path().string();
  EXPECT_THAT(names_of({.path = path, .start = 2, .stride = 3}), ElementsAre("2.ppm", "5.ppm", "8.ppm"));
  EXPECT_THAT(names_of({.path = path, .start = 2, .stride = 3, .max_frames = 2}), ElementsAre("2.ppm", "5.ppm"));
  EXPECT_EQ(open_source({.path = path, .fps = 30, .start = 2, .stride = 3})->info().frames, 3);
  EXPECT_EQ(open_source({.path = path, .fps = 30, .start = 2, .stride = 3})->info().fps, 10);
  EXPECT_THAT(message_of<InputError>([&] { read_all({.path = path, .start = 10}); }),
              AllOf(HasSubstr("which has 10 frames"), HasSubstr(path)));
}

TEST(FrameSource, ReadsAPatternAndASingleImage) {
  const TemporaryFolder folder;
  for (const std::string name : {"a1.ppm", "a2.ppm", "b1.ppm", "a3.txt"}) write_text(folder / name, ppm(2, 2, 7));
  EXPECT_THAT(names_of({.path = folder / "a*"}), ElementsAre("a1.ppm", "a2.ppm"));
  EXPECT_THAT(names_of({.path = folder / "b1.ppm"}), ElementsAre("b1.ppm"));
  EXPECT_EQ(open_source({.path = folder / "b1.ppm"})->info().name, "b1");
  EXPECT_THAT(message_of<InputError>([&] { read_all({.path = folder / "c*.png"}); }),
              AllOf(HasSubstr("no image matches"), HasSubstr("c*.png")));
}

TEST(FrameSource, NamesMissingAndEmptyPaths) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<InputError>([&] { read_all({.path = folder / "none.mp4"}); }),
              AllOf(HasSubstr("none.mp4"), HasSubstr("No such file"), HasSubstr("give a video file")));
  EXPECT_THAT(message_of<InputError>([&] { read_all({.path = folder.path().string()}); }),
              AllOf(HasSubstr("no images in folder"), HasSubstr(".png .jpg")));
}

TEST(FrameSource, RefusesImpossibleOptions) {
  EXPECT_THROW(read_all({.path = ""}), UsageError);
  EXPECT_THROW(read_all({.path = "-", .size = {4, 0}}), UsageError);
  EXPECT_THROW(read_all({.path = "-", .size = {1 << 15, 1 << 14}}), UsageError);
  EXPECT_THROW(read_all({.path = "x", .size = {4, 4}}), UsageError);
  EXPECT_THROW(read_all({.path = "x", .fps = -1}), UsageError);
  EXPECT_THROW(read_all({.path = "x", .start = -1}), UsageError);
  EXPECT_THROW(read_all({.path = "x", .stride = 0}), UsageError);
  EXPECT_THROW(read_all({.path = "x", .max_frames = 0}), UsageError);
}

TEST(FrameSource, NamesBothSizesWhenTheyDiffer) {
  const TemporaryFolder folder;
  write_text(folder / "0.ppm", ppm(4, 3, 0));
  write_text(folder / "1.ppm", ppm(5, 3, 0));
  const auto source = open_source({.path = folder.path().string()});
  EXPECT_TRUE(source->next());
  EXPECT_THAT(message_of<InputError>([&] { (void)source->next(); }),
              AllOf(HasSubstr("1.ppm"), HasSubstr("5x3"), HasSubstr("4x3")));
}

TEST(FrameSource, NamesABrokenImageInAFolder) {
  const TemporaryFolder folder;
  write_text(folder / "0.ppm", ppm(4, 3, 0));
  write_text(folder / "1.png", "no png at all");
  write_text(folder / "2.png", "");
  const auto source = open_source({.path = folder.path().string()});
  EXPECT_TRUE(source->next());
  EXPECT_THAT(message_of<InputError>([&] { (void)source->next(); }), AllOf(HasSubstr("1.png"), HasSubstr("not a PNG")));
  EXPECT_THAT(message_of<InputError>([&] { read_all({.path = folder / "2.png"}); }),
              AllOf(HasSubstr("2.png"), HasSubstr("empty")));
}

TEST(FrameSource, TakesExtremeShapes) {
  const TemporaryFolder folder;
  write_text(folder / "dot.ppm", ppm(1, 1, 200));
  write_text(folder / "strip.ppm", ppm(20000, 20, 3));
  EXPECT_EQ(open_source({.path = folder / "dot.ppm"})->next()->image.rgb[0], 200);
  EXPECT_EQ(open_source({.path = folder / "strip.ppm"})->next()->image.pixel(19999, 19)[0], 3);
}

TEST(FrameSource, TakesAnyStride) {
  const TemporaryFolder folder;
  for (int i = 0; i < 3; ++i) write_text(folder / (std::to_string(i) + ".ppm"), ppm(1, 1, i));
  const int64_t most = std::numeric_limits<int64_t>::max();
  const SourceOptions options{.path = folder.path().string(), .start = 1, .stride = most};
  EXPECT_EQ(open_source(options)->info().frames, 1);
  EXPECT_THAT(names_of(options), ElementsAre("1.ppm"));
  EXPECT_EQ(open_source({.path = folder.path().string(), .start = most})->info().frames, 0);
}

TEST(FrameSource, NamesItsFiles) {
  const TemporaryFolder folder;
  for (const int i : {10, 9}) write_text(folder / (std::to_string(i) + ".ppm"), ppm(1, 1, i));
  EXPECT_THAT(open_source({.path = folder.path().string()})->files(), ElementsAre(folder / "9.ppm", folder / "10.ppm"));
  EXPECT_THAT(open_source({.path = folder / "9.ppm"})->files(), ElementsAre(folder / "9.ppm"));
}

TEST(FrameSource, RefusesRatesAndPlacesThatCannotBe) {
  const TemporaryFolder folder;
  write_text(folder / "0.ppm", ppm(1, 1, 0));
  for (const double fps : {1e-7, 1001.0, -1.0, std::nan("")})
    EXPECT_THAT(message_of<UsageError>([&] { (void)open_source({.path = folder / "0.ppm", .fps = fps}); }),
                HasSubstr("fps must be 0.01 to 1000"));
  EXPECT_THAT(message_of<InputError>([&] { (void)open_source({.path = "/dev/null"}); }),
              HasSubstr("/dev/null: it is a device"));
}

}  // namespace
}  // namespace visage::media
