#include "tensor/error.h"
#include "visage/media/frame_name.h"
#include "visage/media/sources.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace visage::media {
namespace {

/// RGB24 frames back to back, as `ffmpeg -f rawvideo -pix_fmt rgb24 -` writes them.
class RawSource final : public FrameSource {
 public:
  RawSource(FrameInfo info, const SourceOptions& options) : FrameSource(std::move(info), options) {}

 private:
  std::optional<Frame> read(int64_t position) override {
    Frame frame{Image(options_.size), frame_name(position), position};
    const size_t size = frame.image.rgb.size();
    const size_t got = std::fread(frame.image.rgb.data(), 1, size, options_.raw_input);
    if (got == 0 && !std::ferror(options_.raw_input)) return std::nullopt;
    check<InputError>(!std::ferror(options_.raw_input), "stdin: reading raw frame ", position,
                      " failed: ", std::strerror(errno));
    check<InputError>(got == size, "stdin: raw frame ", position, " has ", got, " of ", size,
                      " bytes; the stream was cut off or the frames are not ", options_.size.width, "x",
                      options_.size.height, " RGB24");
    return frame;
  }
};

}  // namespace

std::unique_ptr<FrameSource> open_raw(const SourceOptions& options) {
  const Size size = options.size;
  check<UsageError>(size.width >= 1 && size.height >= 1, "raw frames on stdin need their size, for example 1280x720");
  check<UsageError>(int64_t{size.width} * size.height <= kMaxPixels, "raw frames of ", size.width, "x", size.height,
                    " are more than ", kMaxPixels, " pixels");
  return std::make_unique<RawSource>(FrameInfo{"stdin", size, kDefaultFps, std::nullopt}, options);
}

}  // namespace visage::media
