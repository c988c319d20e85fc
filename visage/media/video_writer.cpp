#include "visage/media/video_writer.h"

#include "tensor/error.h"
#include "visage/media/png.h"
#include "visage/media/sources.h"
#include "visage/media/writers.h"

#include <cmath>
#include <filesystem>
#include <unistd.h>
#include <utility>

namespace visage::media {
namespace {

namespace fs = std::filesystem;

class FramesWriter final : public VideoWriter {
 public:
  FramesWriter(const std::string& path, Size size)
      : VideoWriter(path, size), temporary_(path + ".tmp." + std::to_string(::getpid())) {
    std::error_code error;
    check<InputError>(!fs::exists(path) || (fs::is_directory(path) && fs::is_empty(path, error)), "cannot write ", path,
                      ": it exists and is not an empty folder; remove it or choose another output");
    fs::remove_all(temporary_, error);
    fs::create_directory(temporary_, error);
    check<InputError>(!error, "cannot write ", path, ": ", error.message(),
                      "; check that the folder above exists and may be written");
  }
  ~FramesWriter() override {
    std::error_code ignored;
    fs::remove_all(temporary_, ignored);
  }

 private:
  void write(const Image& image) override { write_png(temporary_ + '/' + frame_name(frames()) + ".png", image); }

  void publish() override {
    std::error_code error;
    fs::rename(temporary_, path(), error);
    check<InputError>(!error, "cannot write ", path(), ": ", error.message());
  }

  std::string temporary_;
};

}  // namespace

void VideoWriter::add(const Image& image) {
  check<UsageError>(!closed_, "video writer: add() after close() of ", path_);
  check<UsageError>(image.size() == size_, "video writer: frame ", frames_, " of ", path_, " is ", image.width, "x",
                    image.height, " and the clip ", size_.width, "x", size_.height);
  write(image);
  ++frames_;
}

void VideoWriter::close() {
  check<UsageError>(!closed_, "video writer: close() twice of ", path_);
  check<InputError>(frames_ > 0, "cannot write ", path_, ": it has no frame");
  closed_ = true;
  publish();
}

std::unique_ptr<VideoWriter> open_frames(const std::string& path, const VideoOptions& options) {
  return std::make_unique<FramesWriter>(path, options.size);
}

std::unique_ptr<VideoWriter> open_video_writer(const std::string& stem, const VideoOptions& options) {
  const Size size = options.size;
  check<UsageError>(size.width >= 1 && size.height >= 1, "video writer: the size of ", stem, " is empty");
  check<UsageError>(std::isfinite(options.fps) && options.fps > 0 && options.fps <= 1000,
                    "fps must be above 0 and at most 1000; got ", options.fps);
  if (options.format == VideoFormat::frames) return open_frames(stem + "_frames", options);
  if (options.format != VideoFormat::gif) {
    if (auto writer = open_mp4(stem + ".mp4", options)) return writer;
    check<InputError>(options.format == VideoFormat::automatic, "cannot write ", stem, ".mp4: no FFmpeg encoder takes ",
                      size.width, "x", size.height, " in this build; write a gif or frames");
  }
  return open_gif(stem + ".gif", options);
}

}  // namespace visage::media
