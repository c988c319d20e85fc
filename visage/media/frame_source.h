#pragma once
#include "tensor/error.h"
#include "visage/media/image.h"

#include <cstdint>
#include <cstdio>
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
  std::string name;               // of the clip: file stem, folder name, or "stdin"
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

struct SourceOptions {
  /// Video file, image file, folder of images, glob pattern of images ("clip/*.png"), or "-" for raw RGB24 on stdin.
  std::string path;
  /// Frame size of raw input (required there, refused elsewhere).
  Size size = {};
  /// Frames a second, kLeastFps to kMostFps; 0 = what the video file says, kDefaultFps for images and raw input.
  double fps = 0;
  /// First frame, distance between frames, and most frames to return (unlimited when absent).
  int64_t start = 0;
  int64_t stride = 1;
  std::optional<int64_t> max_frames = std::nullopt;
  Truncation truncation = Truncation::fail;
  /// Where raw frames are read from.
  std::FILE* raw_input = stdin;
};

/// Frames of one clip in order, one in memory at a time, all of the same size.
class FrameSource {
 public:
  virtual ~FrameSource() = default;

  [[nodiscard]] const FrameInfo& info() const { return info_; }

  /// Next selected frame; nothing at the end. Throws InputError, one line that names the file and the frame, when a
  /// frame cannot be read or has another size than the first, when the clip has no frame at `start`, and
  /// TruncatedError, unless Truncation::accept, after the last readable frame of a clip that is cut short.
  std::optional<Frame> next();

  /// The files that frames come from; none for raw input.
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

/// Opens any of the sources named at SourceOptions::path and reads as much as is needed to fill info().
/// Images are read in natural order (img2 before img10); files without an image extension are passed over.
/// Throws UsageError for impossible options; InputError for a missing path, a device or pipe, a folder or pattern
/// without images, a file that is no video or image, and for video files in a build without FFmpeg.
[[nodiscard]] std::unique_ptr<FrameSource> open_source(const SourceOptions& options);

}  // namespace visage::media
