#include "tensor/error.h"
#include "tests/support/files.h"
#include "tests/visage/media/pictures.h"
#include "visage/media/frame_source.h"
#include "visage/media/png.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace visage::media {
namespace {

namespace fs = std::filesystem;
using test::moving_picture;
using test::ppm;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using visage::test::message_of;
using visage::test::read_text;
using visage::test::TemporaryFolder;
using visage::test::write_text;

constexpr double kForever = std::numeric_limits<double>::infinity(), kMoment = 0.05;  // seconds

/// A writer that does its next step whenever the reader asks whether to stop, from the second time on: before every
/// image and every new look at the folder. After the last step the reader is stopped.
class GrowingImages : public testing::Test {
 protected:
  SourceOptions followed(std::vector<std::function<void()>> steps = {}) {
    steps_ = std::move(steps);
    done_ = 0;
    return {.path = folder_.path().string(), .follow = kForever, .stop = [this] {
              if (done_ > 0 && done_ <= steps_.size()) steps_[done_ - 1]();
              return done_++ > steps_.size();
            }};
  }
  void put(const std::string& name, int red = 0) { write_text(folder_ / name, ppm(2, 2, red)); }
  static std::vector<std::string> names_of(const SourceOptions& options) {
    const auto source = open_source(options);
    std::vector<std::string> names;
    while (auto frame = source->next()) names.push_back(frame->name);
    return names;
  }

  TemporaryFolder folder_;
  std::vector<std::function<void()>> steps_;
  size_t done_ = 0;
};

TEST_F(GrowingImages, ComeInNaturalOrderToAnEmptyFolder) {
  const auto source = open_source(followed({[] {}, [this] { put("img9.ppm", 9); }, [] {},
                                            [this] {
                                              put("img11.ppm", 11);
                                              put("img10.ppm", 10);
                                            },
                                            [] {}}));
  EXPECT_EQ(source->info().name, folder_.path().filename().string());
  EXPECT_EQ(source->info().size, (Size{2, 2}));
  EXPECT_FALSE(source->info().frames);
  EXPECT_THAT(source->files(), ElementsAre(folder_ / "img9.ppm"));
  for (const int i : {9, 10, 11}) {
    const auto frame = source->next();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->name, "img" + std::to_string(i) + ".ppm");
    EXPECT_EQ(frame->index, i - 9);
    EXPECT_EQ(frame->image.rgb[0], i);
  }
  EXPECT_FALSE(source->next());
}

TEST_F(GrowingImages, MatchAPattern) {
  SourceOptions options = followed({[this] { put("other.ppm"); }, [this] { put("a1.ppm"); }});
  options.path = folder_ / "a*";
  EXPECT_THAT(names_of(options), ElementsAre("a1.ppm"));
}

TEST_F(GrowingImages, AreTakenWhenComplete) {
  const Image picture = moving_picture({40, 30}, 1);
  write_png(folder_ / "source", picture);
  const std::string bytes = read_text(folder_ / "source"), file = folder_ / "1.png";
  const auto append = [=](size_t from, size_t count) {
    std::ofstream(file, std::ios::binary | std::ios::app) << bytes.substr(from, count);
  };
  const auto source =
      open_source(followed({[=] { append(0, 0); }, [=] { append(0, 100); }, [=] { append(100, bytes.size() - 101); },
                            [this] { put("2.ppm"); }, [=] { append(bytes.size() - 1, 1); }}));
  EXPECT_EQ(source->next()->image.rgb, picture.rgb);
  EXPECT_EQ(done_, steps_.size() + 1) << "not before the last byte";
}

TEST_F(GrowingImages, AreFoundUnderTheirLastName) {
  EXPECT_THAT(names_of(followed({[this] { write_text(folder_ / "tmp.ppm", "P6"); }, [] {},
                                 [this] {
                                   put("tmp.ppm");
                                   fs::rename(folder_ / "tmp.ppm", folder_ / "1.ppm");
                                 }})),
              ElementsAre("1.ppm"));
}

TEST_F(GrowingImages, ThatStayIncompleteAreNamed) {
  write_text(folder_ / "1.ppm", ppm(2, 2, 1));
  write_text(folder_ / "2.ppm", ppm(2, 2, 2).substr(0, 15));
  for (const bool others_came : {false, true}) {
    if (others_came) put("3.ppm");
    const auto source = open_source({.path = folder_.path().string(), .follow = kMoment});
    EXPECT_TRUE(source->next());
    EXPECT_THAT(message_of<InputError>([&] { (void)source->next(); }),
                AllOf(HasSubstr("2.ppm"), HasSubstr("the file is cut short")));
  }
}

TEST_F(GrowingImages, ThatComeLateArePassedOver) {
  put("5.ppm");
  testing::internal::CaptureStderr();
  const auto late = [this] {
    put("4.ppm");
    put("6.ppm");
  };
  EXPECT_THAT(names_of(followed({[] {}, late, [this] { put("3.ppm"); }, [this] { put("7.ppm"); }})),
              ElementsAre("5.ppm", "6.ppm", "7.ppm"));
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, AllOf(HasSubstr("before 5.ppm, the last one taken"), HasSubstr("late images are passed over")));
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
}

TEST_F(GrowingImages, MayBeRemovedWhenTheyWereTaken) {
  put("1.ppm");
  testing::internal::CaptureStderr();
  EXPECT_THAT(names_of(followed({[] {},
                                 [this] {
                                   fs::remove(folder_ / "1.ppm");
                                   put("2.ppm");
                                 }})),
              ElementsAre("1.ppm", "2.ppm"));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(GrowingImages, EndWhenNoneComesForSoLong) {
  for (int i = 0; i < 10; ++i) put(std::to_string(i) + ".ppm");
  const std::string path = folder_.path().string();
  EXPECT_EQ(names_of({.path = path, .follow = kMoment}).size(), 10u);
  EXPECT_THAT(names_of({.path = path, .start = 2, .stride = 3, .follow = kMoment}),
              ElementsAre("2.ppm", "5.ppm", "8.ppm"));
  EXPECT_THAT(names_of({.path = path, .start = 8, .max_frames = 1, .follow = kForever}), ElementsAre("8.ppm"));
  EXPECT_THAT(message_of<InputError>([&] { names_of({.path = path, .start = 10, .follow = kMoment}); }),
              AllOf(HasSubstr("waited for image 10 of " + path), HasSubstr("none came for 0.05 s")));
}

TEST_F(GrowingImages, EndWhenStopped) {
  EXPECT_THAT(message_of<InputError>([this] { names_of(followed()); }), HasSubstr("waited for image 0"));
}

TEST_F(GrowingImages, AreImages) {
  put("1.ppm");
  for (const std::string& path : {folder_ / "1.ppm", std::string("-")})
    EXPECT_THAT(message_of<UsageError>([&] { names_of({.path = path, .follow = 1}); }),
                HasSubstr("only a folder or pattern of images can be followed"));
  for (const double follow : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()})
    EXPECT_THROW(names_of({.path = folder_.path().string(), .follow = follow}), UsageError);
  EXPECT_THROW(names_of({.path = folder_ / "none", .follow = kMoment}), InputError);
}

}  // namespace
}  // namespace visage::media
