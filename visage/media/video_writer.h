#pragma once
#include "tensor/files.h"
#include "visage/media/image.h"

#include <cstdint>
#include <memory>
#include <string>

namespace visage::media {

enum class VideoFormat {
  automatic,  // mp4 where FFmpeg and an encoder for this size are there, otherwise gif
  mp4,        // H.264 (libx264 or libopenh264), else MPEG-4 part 2
  gif,        // animated GIF, fixed palette with ordered dithering
  frames,     // a folder of numbered PNG files
};

struct VideoOptions {
  Size size;
  double fps = 25;
  VideoFormat format = VideoFormat::automatic;
  // What to do with a folder of frames that is there already; a file is always replaced.
  files::Existing existing = files::Existing::refuse;
};

/// Writes a clip. It appears under path() when close() returns, and not at all without it: until then it lies beside it
/// under a temporary name, which the destructor removes.
class VideoWriter {
 public:
  virtual ~VideoWriter() = default;

  /// Final name, with the extension of the format that was chosen.
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int64_t frames() const { return frames_; }

  /// Appends a frame. Throws UsageError when its size is not VideoOptions::size or the clip is closed; InputError
  /// naming the file when it cannot be written, e.g. because the disk is full.
  void add(const Image& image);

  /// Completes the clip and gives it its name. Throws InputError as add() does, and when there is no frame.
  void close();

 protected:
  VideoWriter(std::string path, Size size) : path_(std::move(path)), size_(size) {}
  virtual void write(const Image& image) = 0;
  virtual void publish() = 0;

 private:
  std::string path_;
  Size size_;
  int64_t frames_ = 0;
  bool closed_ = false;
};

/// Starts a clip at `stem` + ".mp4", ".gif", or "_frames" (a folder).
/// An mp4 whose width or height is odd is one pixel larger there, a copy of the last column or row: players need 4:2:0.
/// Throws UsageError for an empty size or fps outside kLeastFps to kMostFps; InputError when the file cannot be written
/// or the format is not available in this build.
[[nodiscard]] std::unique_ptr<VideoWriter> open_video_writer(const std::string& stem, const VideoOptions& options);

}  // namespace visage::media
