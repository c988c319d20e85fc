#include "tensor/cpu/parallel.h"
#include "tensor/error.h"
#include "tests/support/files.h"
#include "tests/visage/media/pictures.h"
#include "visage/media/frame_source.h"
#include "visage/media/video_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <numeric>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace visage::media {
namespace {

using test::moving_picture;
using test::Pipe;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using visage::test::message_of;
using visage::test::read_text;
using visage::test::TemporaryFolder;

constexpr Size kSize{2, 2};
constexpr size_t kFrameBytes = 12;

std::vector<Image> read_all(const SourceOptions& options) {
  std::vector<Image> frames;
  const auto source = open_source(options);
  while (auto frame = source->next()) frames.push_back(std::move(frame->image));
  return frames;
}

TEST(RawStream, ReadsFramesFromStdin) {
  std::string bytes(3 * kFrameBytes, '\0');
  std::iota(bytes.begin(), bytes.end(), '\0');
  const Pipe pipe(bytes);
  const auto source = open_source({.path = "-", .size = kSize, .fps = 12, .standard_input = pipe.read_end});
  EXPECT_EQ(source->info().name, "stdin");
  EXPECT_EQ(source->info().fps, 12);
  EXPECT_FALSE(source->info().frames);
  EXPECT_THAT(source->files(), ElementsAre());
  for (int i = 0; i < 3; ++i) {
    const auto frame = source->next();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->image.rgb[0], 12 * i);
    EXPECT_EQ(frame->image.rgb[11], 12 * i + 11);
    EXPECT_EQ(frame->name, "frame_00000" + std::to_string(i));
  }
  EXPECT_FALSE(source->next());
}

TEST(RawStream, RefusesAPartialOrMissingFrame) {
  const std::string bytes(kFrameBytes + 5, 'x');
  const Pipe partial(bytes);
  const auto source = open_source({.path = "-", .size = kSize, .standard_input = partial.read_end});
  EXPECT_TRUE(source->next());
  EXPECT_THAT(message_of<TruncatedError>([&] { (void)source->next(); }),
              AllOf(HasSubstr("stdin: raw frame 1"), HasSubstr("5 of 12 bytes"), HasSubstr("2x2")));
  const Pipe again(bytes);
  EXPECT_EQ(
      read_all({.path = "-", .size = kSize, .truncation = Truncation::accept, .standard_input = again.read_end}).size(),
      1u);
  const Pipe empty("");
  EXPECT_THAT(message_of<InputError>([&] { read_all({.path = "-", .size = kSize, .standard_input = empty.read_end}); }),
              HasSubstr("no frame in stdin"));
}

class NamedPipe : public testing::Test {
 protected:
  NamedPipe() {
    if (mkfifo(path_.c_str(), 0600) != 0) throw std::runtime_error("mkfifo");
  }
  ~NamedPipe() override { hang_up(); }

  // Only once somebody reads.
  void write(const std::string& bytes) {
    if (writer_ < 0) writer_ = ::open(path_.c_str(), O_WRONLY | O_NONBLOCK);
    ASSERT_EQ(::write(writer_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  void hang_up() {
    if (writer_ >= 0) ::close(writer_);
    writer_ = -1;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "cam.rgb";
  int writer_ = -1;
};

TEST_F(NamedPipe, ReadsFramesUntilTheWriterCloses) {
  int asked = 0;
  const auto source = open_source({.path = path_, .size = kSize, .stop = [&] {
                                     if (++asked == 2) write(std::string(kFrameBytes - 1, 'a'));  // it had to wait
                                     return false;
                                   }});
  EXPECT_EQ(source->info().name, "cam");
  EXPECT_THAT(source->files(), ElementsAre(path_));
  write("a");
  EXPECT_EQ(source->next()->image.rgb, std::vector<uint8_t>(kFrameBytes, 'a'));
  write(std::string(kFrameBytes, 'b'));
  hang_up();
  EXPECT_EQ(source->next()->image.rgb[11], 'b');
  EXPECT_FALSE(source->next());
}

TEST_F(NamedPipe, StopsWaitingForAWriterOrTheRestOfAFrame) {
  bool stopped = false;
  int asked = 0;
  const SourceOptions options{.path = path_, .size = kSize, .stop = [&] { return stopped || ++asked > 2; }};
  EXPECT_TRUE(read_all(options).empty());
  asked = 0;
  const auto source = open_source(options);
  write(std::string(kFrameBytes + 5, 'x'));
  EXPECT_TRUE(source->next());
  stopped = true;
  EXPECT_FALSE(source->next());
}

TEST_F(NamedPipe, StopsWhenTheWriterIsStoppedToo) {
  int asked = 0;
  const auto source = open_source({.path = path_, .size = kSize, .stop = [&] {
                                     if (++asked == 3) hang_up();  // about to wait for the rest of the second frame
                                     return asked > 3;
                                   }});
  write(std::string(kFrameBytes + 5, 'x'));
  EXPECT_TRUE(source->next());
  EXPECT_FALSE(source->next());
}

TEST_F(NamedPipe, NamesTheFrameThatIsCutOff) {
  const auto source = open_source({.path = path_, .size = kSize});
  write(std::string(kFrameBytes + 1, 'x'));
  hang_up();
  EXPECT_TRUE(source->next());
  EXPECT_THAT(message_of<TruncatedError>([&] { (void)source->next(); }),
              AllOf(HasSubstr(path_ + ": raw frame 1"), HasSubstr("1 of 12 bytes")));
}

TEST_F(NamedPipe, StopsWaitingForAVideo) {
  int asked = 0;
  EXPECT_THROW((void)open_source({.path = path_, .stop = [&] { return ++asked > 2; }}), UnknownStreamError);
}

#ifdef VISAGE_FFMPEG
std::string video_bytes(const std::string& stem, int frames) {
  const auto writer = open_video_writer(stem, {.size = {64, 48}, .fps = 20});
  for (int t = 0; t < frames; ++t) writer->add(moving_picture({64, 48}, t));
  writer->close();
  return read_text(writer->path());
}

TEST(VideoStream, GivesWhatTheFileGives) {
  const TemporaryFolder folder;
  const std::string bytes = video_bytes(folder / "clip", 12);
  const Pipe pipe(bytes);
  const auto source = open_source({.path = "-", .start = 2, .stride = 3, .standard_input = pipe.read_end});
  EXPECT_EQ(source->info().name, "stdin");
  EXPECT_EQ(source->info().size, (Size{64, 48}));
  EXPECT_THAT(source->files(), ElementsAre());
  for (const Image& expected : read_all({.path = folder / "clip.mp4", .start = 2, .stride = 3})) {
    const auto frame = source->next();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->image.rgb, expected.rgb);
  }
  EXPECT_FALSE(source->next());
}

TEST_F(NamedPipe, HoldsFewFramesOfAVideoBack) {
  const int threads = cpu::num_threads();
  cpu::set_num_threads(8);
  const std::string whole = video_bytes(folder_ / "clip", 30), most = whole.substr(0, whole.size() * 9 / 10);
  const Pipe cut(most);
  const size_t there = read_all({.path = "-", .truncation = Truncation::accept, .standard_input = cut.read_end}).size();
  const int both = ::open(path_.c_str(), O_RDWR | O_NONBLOCK);
  write(most);
  int asked = 0;
  const auto source = open_source({.path = path_, .stop = [&] { return ++asked > 5; }});
  ::close(both);
  size_t shown = 0;
  while (asked <= 5 && source->next()) ++shown;
  EXPECT_GE(shown + 5, there);
  EXPECT_GT(there, 20u);
  cpu::set_num_threads(threads);
}

TEST_F(NamedPipe, StopsWaitingForTheRestOfAVideo) {
  const std::string whole = video_bytes(folder_ / "clip", 30);
  for (const Truncation truncation : {Truncation::fail, Truncation::accept}) {
    const int both = ::open(path_.c_str(), O_RDWR | O_NONBLOCK);
    write(whole.substr(0, whole.size() * 9 / 10));
    bool stopped = false;
    const auto source = open_source({.path = path_, .truncation = truncation, .stop = [&] { return stopped; }});
    ::close(both);
    EXPECT_TRUE(source->next());
    stopped = true;
    testing::internal::CaptureStderr();
    while (source->next()) {
    }
    EXPECT_FALSE(source->next());
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
    hang_up();
  }
}

TEST(VideoStream, SaysWhatItCannotRead) {
  const TemporaryFolder folder;
  for (const std::string& bytes : {std::string(), std::string(5000, '\x5a')}) {
    const Pipe pipe(bytes);
    EXPECT_THAT(message_of<UnknownStreamError>([&] { read_all({.path = "-", .standard_input = pipe.read_end}); }),
                AllOf(HasSubstr("cannot read"), HasSubstr("stdin"), HasSubstr("raw RGB frames need their size")));
  }
  const std::string whole = video_bytes(folder / "clip", 12);
  const Pipe cut(whole.substr(0, whole.size() * 8 / 10));
  EXPECT_THAT(message_of<TruncatedError>([&] { read_all({.path = "-", .standard_input = cut.read_end}); }),
              HasSubstr("stdin is cut short"));
  const Pipe no_frame(whole.substr(0, whole.find("mdat") + 8));
  EXPECT_THAT(message_of<InputError>([&] { read_all({.path = "-", .standard_input = no_frame.read_end}); }),
              AllOf(HasSubstr("no frame of video stdin"), HasSubstr("has to be a file")));
}
#endif

}  // namespace
}  // namespace visage::media
