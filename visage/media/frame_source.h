#pragma once
#include "tensor/error.h"
#include "visage/media/image.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace visage::media {

struct Frame {
  Image image;
  std::string name;   // file name of an image, otherwise "frame_000012" (position in the source)
  int64_t index = 0;  // position in the source, from 0: with start 10 and stride 5 the frames are 10, 15, 20, ...
};

struct FrameInfo {
  std::string name;               // of the clip: stem of a file or named pipe, folder name, or "stdin"
  Size size;                      // of every frame
  double fps = 0;                 // frames a second of what next() returns: the source's rate / stride
  std::optional<int64_t> frames;  // how many next() is expected to return; an estimate for some video formats
};

/// What to do when a video ends before the number of frames its index promises.
enum class Truncation { fail, accept };

/// A video is cut short; Truncation::accept takes what is there.
struct TruncatedError : InputError {
  using InputError::InputError;
};

/// A stream that is no video which can be read as it comes. Raw frames are read with SourceOptions::size.
struct UnknownStreamError : InputError {
  using InputError::InputError;
};

struct SourceOptions {
  /// Video file, image file, folder of images, glob pattern of images ("clip/*.png"), or a stream: a named pipe, or "-"
  /// for `standard_input`.
  std::string path;
  /// Frame size of a stream of raw RGB24 frames; without it a stream is a video file as it comes. Refused elsewhere.
  Size size = {};
  /// Frames a second, kLeastFps to kMostFps; 0 = what the video file says, kDefaultFps for images and raw input.
  double fps = 0;
  /// First frame, distance between frames, and most frames to return (unlimited when absent).
  int64_t start = 0;
  int64_t stride = 1;
  std::optional<int64_t> max_frames = std::nullopt;
  Truncation truncation = Truncation::fail;
  /// Seconds, more than 0, or infinity: the images of a folder or pattern are still being written. An image is returned
  /// as soon as it is complete, and the clip ends when no new one came for so long. One that sorts before an image
  /// already returned is passed over.
  std::optional<double> follow = std::nullopt;
  /// Asked several times a second while a stream or followed images keep open_source() or next() waiting; true ends the
  /// clip there.
  std::function<bool()> stop = {};
  /// File descriptor that "-" stands for; it is not closed.
  int standard_input = 0;
};

/// Frames of one clip in order, one in memory at a time, all of the same size.
class FrameSource {
 public:
  virtual ~FrameSource() = default;

  [[nodiscard]] const FrameInfo& info() const { return info_; }

  /// Next selected frame; nothing at the end or when stopped. Throws InputError, one line that names the file and the
  /// frame, when a frame cannot be read or has another size than the first, when the clip has no frame at `start`, and
  /// TruncatedError, unless Truncation::accept, after the last readable frame of a clip that is cut short.
  std::optional<Frame> next();

  /// The files that frames come from, of followed images the first; none for "-".
  [[nodiscard]] virtual std::vector<std::string> files() const { return {}; }

 protected:
  /// `info` describes the whole source; the selection in `options` is applied here.
  FrameSource(FrameInfo info, const SourceOptions& options);
  /// Reads the frame at `position`, called with 0, 1, 2, ... less the skipped ones; nothing at the end.
  virtual std::optional<Frame> read(int64_t position) = 0;
  /// Passes over the frame at `position`; false at the end. The default decodes and drops it.
  virtual bool skip(int64_t position);

  const SourceOptions options_;

 private:
  FrameInfo info_;
  int64_t position_ = 0;
  int64_t wanted_;  // position of the next frame to return
  int64_t returned_ = 0;
};

/// Opens any of the sources named at SourceOptions::path and reads as much as is needed to fill info(): of a stream
/// without a size its header, of followed images the first.
/// Images are read in natural order (img2 before img10); hidden files and those without an image extension are passed
/// over.
/// Throws UsageError for impossible options; UnknownStreamError; InputError for a missing path, a device, a folder or
/// pattern without images, a file that is no video or image, and for video files in a build without FFmpeg.
[[nodiscard]] std::unique_ptr<FrameSource> open_source(const SourceOptions& options);

}  // namespace visage::media
