#include "tensor/error.h"
#include "tests/support/files.h"
#include "tests/visage/media/pictures.h"
#include "visage/media/frame_source.h"
#include "visage/media/image_file.h"
#include "visage/media/video_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <string>
#include <sys/resource.h>
#include <vector>

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_GIF
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb_image.h>
#pragma GCC diagnostic pop

namespace visage::media {
namespace {

using test::mean_difference;
using test::moving_picture;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using visage::test::message_of;
using visage::test::read_text;
using visage::test::TemporaryFolder;
using visage::test::write_text;

std::string write_clip(const std::string& stem, const VideoOptions& options, int frames) {
  const auto writer = open_video_writer(stem, options);
  for (int t = 0; t < frames; ++t) writer->add(moving_picture(options.size, t));
  writer->close();
  return writer->path();
}

std::vector<Image> read_clip(const SourceOptions& options) {
  std::vector<Image> frames;
  const auto source = open_source(options);
  while (auto frame = source->next()) frames.push_back(std::move(frame->image));
  return frames;
}

std::vector<std::string> files_in(const TemporaryFolder& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

TEST(VideoWriter, GifKeepsFramesColoursAndTime) {
  const TemporaryFolder folder;
  // More than 4096 distinct strings a frame, so that the dictionary is cleared on the way.
  const Size size{160, 120};
  const std::string path = write_clip(folder / "clip", {.size = size, .fps = 30, .format = VideoFormat::gif}, 9);
  EXPECT_EQ(path, folder / "clip.gif");
  const std::string bytes = read_text(path);
  int width = 0, height = 0, frames = 0, channels = 0;
  int* delays = nullptr;
  stbi_uc* pixels =
      stbi_load_gif_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()), static_cast<int>(bytes.size()), &delays,
                                &width, &height, &frames, &channels, 3);
  ASSERT_NE(pixels, nullptr);
  ASSERT_EQ((Size{width, height}), size);
  ASSERT_EQ(frames, 9);
  int milliseconds = 0;
  for (int t = 0; t < frames; ++t) {
    Image got(size);
    std::copy_n(pixels + t * got.rgb.size(), got.rgb.size(), got.rgb.begin());
    EXPECT_LT(mean_difference(got, moving_picture(size, t)), 20) << "frame " << t;  // levels are 42 to 51 apart
    milliseconds += delays[t];
  }
  EXPECT_EQ(milliseconds, 300);
  stbi_image_free(pixels);
  stbi_image_free(delays);
}

TEST(VideoWriter, FramesAreExact) {
  const TemporaryFolder folder;
  const std::string path = write_clip(folder / "clip", {.size = {21, 13}, .format = VideoFormat::frames}, 3);
  const std::vector<Image> got = read_clip({.path = path});
  ASSERT_EQ(got.size(), 3u);
  for (int t = 0; t < 3; ++t) EXPECT_EQ(got[t].rgb, moving_picture({21, 13}, t).rgb);
  EXPECT_EQ(files_in(folder), std::vector<std::string>{"clip_frames"});
  EXPECT_THAT(message_of<InputError>([&] {
                write_clip(folder / "clip", {.size = {2, 2}, .format = VideoFormat::frames}, 1);
              }),
              AllOf(HasSubstr("clip_frames"), HasSubstr("is not empty")));
}

TEST(VideoWriter, LeavesNothingWithoutClose) {
  const TemporaryFolder folder;
  for (const VideoFormat format : {VideoFormat::automatic, VideoFormat::gif, VideoFormat::frames}) {
    const auto writer = open_video_writer(folder / "clip", {.size = {32, 32}, .format = format});
    writer->add(Image(32, 32));
    EXPECT_FALSE(std::filesystem::exists(writer->path()));
  }
  EXPECT_THAT(files_in(folder), IsEmpty());
}

TEST(VideoWriter, RefusesWrongUse) {
  const TemporaryFolder folder;
  EXPECT_THROW((void)open_video_writer(folder / "x", {.size = {0, 4}}), UsageError);
  for (const double fps : {0.0, 1e-7, 1001.0, std::nan("")})
    EXPECT_THROW((void)open_video_writer(folder / "x", {.size = {4, 4}, .fps = fps}), UsageError);
  const auto writer = open_video_writer(folder / "x", {.size = {4, 4}, .format = VideoFormat::gif});
  EXPECT_THROW(writer->add(Image(5, 4)), UsageError);
  EXPECT_THROW(writer->close(), InputError);
  writer->add(Image(4, 4));
  writer->close();
  EXPECT_THROW(writer->add(Image(4, 4)), UsageError);
}

TEST(VideoWriter, NamesAFolderThatIsMissing) {
  const TemporaryFolder folder;
  for (const VideoFormat format : {VideoFormat::automatic, VideoFormat::gif, VideoFormat::frames}) {
    const std::string stem = folder / "none/clip";
    EXPECT_THAT(message_of<InputError>([&] {
                  write_clip(stem, {.size = {32, 32}, .format = format}, 1);
                }),
                AllOf(HasSubstr("none/clip"), HasSubstr("No such file")))
        << static_cast<int>(format);
  }
}

/// Makes writes past `bytes` of any file fail, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(VideoWriter, NamesTheFileWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  for (const VideoFormat format : {VideoFormat::automatic, VideoFormat::gif, VideoFormat::frames}) {
    const FileSizeLimit limit(500);
    const VideoOptions options{.size = {128, 96}, .format = format};
    EXPECT_THAT(message_of<InputError>([&] { write_clip(folder / "clip", options, 20); }),
                AllOf(HasSubstr("clip"), HasSubstr("File too large")))
        << static_cast<int>(format);
  }
  EXPECT_THAT(files_in(folder), IsEmpty());
}

#ifdef VISAGE_FFMPEG

TEST(VideoFile, RoundTripKeepsFramesColoursAndRate) {
  const TemporaryFolder folder;
  const Size size{96, 64};
  const std::string path = write_clip(folder / "clip", {.size = size, .fps = 30000.0 / 1001}, 20);
  EXPECT_EQ(path, folder / "clip.mp4");
  const auto source = open_source({.path = path});
  EXPECT_EQ(source->info().name, "clip");
  EXPECT_EQ(source->info().size, size);
  EXPECT_EQ(source->info().frames, 20);
  EXPECT_NEAR(source->info().fps, 30000.0 / 1001, 1e-9);
  for (int t = 0; t < 20; ++t) {
    const auto frame = source->next();
    ASSERT_TRUE(frame) << t;
    EXPECT_EQ(frame->index, t);
    EXPECT_LT(mean_difference(frame->image, moving_picture(size, t)), 4) << "frame " << t;
  }
  EXPECT_FALSE(source->next());
}

TEST(VideoFile, KeepsSaturatedColours) {
  const TemporaryFolder folder;
  Image image(32, 32);
  for (int i = 0; i < 32 * 32; ++i) image.rgb[3 * i] = 250;
  const auto writer = open_video_writer(folder / "red", {.size = image.size(), .format = VideoFormat::mp4});
  writer->add(image);
  writer->close();
  const Image got = read_clip({.path = writer->path()}).at(0);
  EXPECT_NEAR(got.pixel(16, 16)[0], 250, 4);  // a mix-up of BT.601 and BT.709 shifts this by more than 10
  EXPECT_NEAR(got.pixel(16, 16)[1], 0, 4);
  EXPECT_NEAR(got.pixel(16, 16)[2], 0, 4);
}

TEST(VideoFile, PadsOddSizesToEven) {
  const TemporaryFolder folder;
  const std::vector<Image> got = read_clip({.path = write_clip(folder / "odd", {.size = {33, 17}}, 2)});
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].size(), (Size{34, 18}));
  EXPECT_NEAR(got[0].pixel(33, 9)[0], moving_picture({33, 17}, 0).pixel(32, 9)[0], 12);
}

TEST(VideoFile, WritesAnySizeSomehow) {
  const TemporaryFolder folder;
  for (const Size size : {Size{1, 1}, Size{20000, 20}, Size{3, 700}}) {
    const std::string stem = folder / std::to_string(size.width);
    const std::string path = write_clip(stem, {.size = size}, 2);
    EXPECT_EQ(read_clip({.path = path}).size(), 2u) << path;
  }
}

/// Writes the rotation of a phone's recording into an mp4: the 2x2 part of the track header's matrix, in 16.16 bits.
void turn(const std::string& path, std::array<int, 4> matrix) {
  std::string bytes = read_text(path);
  const size_t at = bytes.find("tkhd") + 44;
  for (int i = 0; i < 4; ++i) {
    const char high = static_cast<char>(matrix[i] < 0 ? 0xFF : 0), low = static_cast<char>(matrix[i]);
    const std::string value{high, low, 0, 0};
    bytes.replace(at + 12 * (i / 2) + 4 * (i % 2), 4, value);
  }
  write_text(path, bytes);
}

TEST(VideoFile, TurnsRecordingsUpright) {
  const TemporaryFolder folder;
  Image image(64, 32);  // red on the left, blue on the right, the upper edge bright green
  for (int y = 0; y < 32; ++y) {
    for (int x = 0; x < 64; ++x) image.pixel(x, y)[y < 8 ? 1 : x < 32 ? 0 : 2] = 220;
  }
  const auto writer = open_video_writer(folder / "clip", {.size = image.size(), .format = VideoFormat::mp4});
  writer->add(image);
  writer->close();
  const auto strongest = [](const Image& from, int x, int y) {
    const uint8_t* pixel = from.pixel(x, y);
    return std::max_element(pixel, pixel + 3) - pixel;
  };
  turn(writer->path(), {0, 1, -1, 0});  // a quarter clockwise: left becomes top, top becomes right
  const auto source = open_source({.path = writer->path()});
  EXPECT_EQ(source->info().size, (Size{32, 64}));
  const Image quarter = source->next()->image;
  EXPECT_EQ(strongest(quarter, 12, 8), 0);
  EXPECT_EQ(strongest(quarter, 12, 56), 2);
  EXPECT_EQ(strongest(quarter, 29, 32), 1);
  turn(writer->path(), {-1, 0, 0, -1});
  const Image half = read_clip({.path = writer->path()}).at(0);
  EXPECT_EQ(strongest(half, 8, 12), 2);
  EXPECT_EQ(strongest(half, 56, 12), 0);
  EXPECT_EQ(strongest(half, 32, 29), 1);
  turn(writer->path(), {0, -1, 1, 0});  // counterclockwise: left becomes bottom, top becomes left
  const Image three_quarters = read_clip({.path = writer->path()}).at(0);
  EXPECT_EQ(strongest(three_quarters, 20, 56), 0);
  EXPECT_EQ(strongest(three_quarters, 20, 8), 2);
  EXPECT_EQ(strongest(three_quarters, 2, 32), 1);
}

TEST(VideoFile, ReadsSelectedFrames) {
  const TemporaryFolder folder;
  const Size size{64, 48};
  const std::string path = write_clip(folder / "clip", {.size = size, .fps = 20}, 12);
  const auto source = open_source({.path = path, .start = 3, .stride = 4});
  EXPECT_EQ(source->info().frames, 3);
  EXPECT_EQ(source->info().fps, 5);
  for (const int t : {3, 7, 11}) {
    const auto frame = source->next();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->index, t);
    EXPECT_LT(mean_difference(frame->image, moving_picture(size, t)), 4);
  }
  EXPECT_FALSE(source->next());
  EXPECT_THAT(message_of<InputError>([&] { read_clip({.path = path, .start = 12}); }),
              HasSubstr("which has 12 frames"));
}

TEST(VideoFile, ReportsACutVideoAfterItsFrames) {
  const TemporaryFolder folder;
  const std::string path = write_clip(folder / "whole", {.size = {160, 120}}, 60);
  const std::string cut = folder / "cut.mp4";
  const std::string bytes = read_text(path);
  write_text(cut, bytes.substr(0, bytes.size() * 6 / 10));
  const auto source = open_source({.path = cut});
  int frames = 0;
  const std::string message = message_of<TruncatedError>([&] {
    while (source->next()) ++frames;
  });
  EXPECT_GT(frames, 5);
  EXPECT_LT(frames, 60);
  EXPECT_THAT(message, AllOf(HasSubstr("cut.mp4"), HasSubstr(std::to_string(frames) + " of 60 frames")));
  EXPECT_FALSE(source->next());
  const SourceOptions accept{.path = cut, .truncation = Truncation::accept};
  EXPECT_EQ(read_clip(accept).size(), static_cast<size_t>(frames));
  EXPECT_EQ(read_clip({.path = cut, .max_frames = 3}).size(), 3u);
}

TEST(VideoFile, RefusesWhatIsNoVideo) {
  const TemporaryFolder folder;
  const std::string path = write_clip(folder / "whole", {.size = {64, 48}}, 5);
  write_text(folder / "head.mp4", read_text(path).substr(0, 300));
  write_text(folder / "empty.mp4", "");
  write_text(folder / "notes.txt", "this is text\nof two lines\n");
  write_text(folder / "noise.avi", std::string(5000, '\x5a'));
  for (const std::string name : {"head.mp4", "empty.mp4", "notes.txt", "noise.avi"}) {
    EXPECT_THAT(message_of<InputError>([&] { read_clip({.path = folder / name}); }),
                AllOf(HasSubstr("cannot read video"), HasSubstr(name), Not(HasSubstr("\n"))));
  }
}

TEST(VideoFile, ReadsAGif) {
  const TemporaryFolder folder;
  const Size size{48, 40};
  const std::string path = write_clip(folder / "clip", {.size = size, .fps = 10, .format = VideoFormat::gif}, 6);
  const std::vector<Image> got = read_clip({.path = path});
  ASSERT_EQ(got.size(), 6u);
  EXPECT_LT(mean_difference(got[5], moving_picture(size, 5)), 20);
}

#else

TEST(VideoFile, SaysWhatIsMissingWithoutFfmpeg) {
  const TemporaryFolder folder;
  write_text(folder / "clip.mp4", "x");
  EXPECT_THAT(message_of<InputError>([&] { read_clip({.path = folder / "clip.mp4"}); }),
              AllOf(HasSubstr("clip.mp4"), HasSubstr("libavformat-dev")));
  EXPECT_EQ(write_clip(folder / "out", {.size = {8, 8}}, 1), folder / "out.gif");
  EXPECT_THROW(write_clip(folder / "out", {.size = {8, 8}, .format = VideoFormat::mp4}, 1), InputError);
}

#endif

}  // namespace
}  // namespace visage::media
