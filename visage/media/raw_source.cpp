#include "tensor/error.h"
#include "tensor/log.h"
#include "visage/media/byte_stream.h"
#include "visage/media/frame_name.h"
#include "visage/media/sources.h"

#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

namespace visage::media {
namespace {

/// RGB24 frames back to back, as `ffmpeg -f rawvideo -pix_fmt rgb24 -` writes them.
class RawSource final : public FrameSource {
 public:
  RawSource(FrameInfo info, const SourceOptions& options) : FrameSource(std::move(info), options), stream_(options) {}

  std::vector<std::string> files() const override { return files_of_stream(options_.path); }

 private:
  std::optional<Frame> read(int64_t position) override {
    Frame frame{Image(options_.size), frame_name(position), position};
    const std::span<uint8_t> bytes(frame.image.rgb);
    for (size_t got = 0; got < bytes.size();) {
      const ssize_t more = stream_.read(bytes.subspan(got));
      if (more < 0 && errno == EINTR) return std::nullopt;  // stopped
      check<InputError>(more >= 0, "", shown_name(options_.path), ": reading raw frame ", position,
                        " failed: ", std::strerror(errno));
      if (more == 0) {
        if (got > 0) report_cut(position, got, bytes.size());
        return std::nullopt;
      }
      got += static_cast<size_t>(more);
    }
    return frame;
  }

  void report_cut(int64_t position, size_t got, size_t size) const {
    const std::string name = shown_name(options_.path);
    if (options_.truncation == Truncation::accept)
      return log::warn(name, " is cut off in raw frame ", position, "; going on with the ", position, " before it");
    fail<TruncatedError>("", name, ": raw frame ", position, " has ", got, " of ", size,
                         " bytes; the stream was cut off or the frames are not ", options_.size.width, "x",
                         options_.size.height, " RGB24; give their size, or accept the frames that are there");
  }

  ByteStream stream_;
};

}  // namespace

std::unique_ptr<FrameSource> open_raw(const SourceOptions& options) {
  const Size size = options.size;
  check<UsageError>(size.width >= 1 && size.height >= 1, "raw frames need a size of at least 1x1; got ", size.width,
                    "x", size.height);
  check<UsageError>(int64_t{size.width} * size.height <= kMaxPixels, "raw frames of ", size.width, "x", size.height,
                    " are more than ", kMaxPixels, " pixels");
  return std::make_unique<RawSource>(FrameInfo{clip_name(options.path), size, kDefaultFps, std::nullopt}, options);
}

}  // namespace visage::media
