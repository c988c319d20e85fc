#include "visage/media/video_writer.h"

#include "tensor/error.h"
#include "visage/media/frame_name.h"
#include "visage/media/frame_rate.h"
#include "visage/media/png.h"
#include "visage/media/writers.h"

#include <utility>

namespace visage::media {
namespace {

class FramesWriter final : public VideoWriter {
 public:
  FramesWriter(const std::string& path, const VideoOptions& options)
      : VideoWriter(path, options.size), folder_(path, files::Kind::folder, options.existing) {}

 private:
  void write(const Image& image) override {
    files::write_file(folder_.path() + '/' + frame_name(frames()) + ".png", encode_png(image));
  }
  void publish() override { folder_.publish(); }

  files::TemporaryPath folder_;
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
  return std::make_unique<FramesWriter>(path, options);
}

std::unique_ptr<VideoWriter> open_video_writer(const std::string& stem, const VideoOptions& options) {
  const Size size = options.size;
  check<UsageError>(size.width >= 1 && size.height >= 1, "video writer: the size of ", stem, " is empty");
  check<UsageError>(options.fps >= kLeastFps && options.fps <= kMostFps, "fps must be ", kLeastFps, " to ", kMostFps,
                    "; got ", options.fps);
  if (options.format == VideoFormat::frames) return open_frames(stem + "_frames", options);
  if (options.format != VideoFormat::gif) {
    if (auto writer = open_mp4(stem + ".mp4", options)) return writer;
    check<InputError>(options.format == VideoFormat::automatic, "cannot write ", stem, ".mp4: no FFmpeg encoder takes ",
                      size.width, "x", size.height, " in this build; write a gif or frames");
  }
  return open_gif(stem + ".gif", options);
}

}  // namespace visage::media
