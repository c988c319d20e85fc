#include "visage/media/frame_source.h"

#include "tensor/error.h"
#include "visage/media/frame_rate.h"
#include "visage/media/image_file.h"
#include "visage/media/natural_order.h"
#include "visage/media/sources.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <glob.h>
#include <limits>
#include <utility>

namespace visage::media {
namespace {

namespace fs = std::filesystem;

FrameInfo selected(FrameInfo info, const SourceOptions& options) {
  if (options.fps > 0) info.fps = options.fps;
  info.fps /= static_cast<double>(options.stride);
  if (info.frames) {
    const int64_t after_start = std::max<int64_t>(*info.frames - options.start, 0);
    info.frames = after_start / options.stride + (after_start % options.stride != 0);
    if (options.max_frames) info.frames = std::min(*info.frames, *options.max_frames);
  }
  return info;
}

void check_options(const SourceOptions& options) {
  check<UsageError>(!options.path.empty(), "no input given; name a video, an image folder, a pattern, or - for stdin");
  check<UsageError>(options.start >= 0, "start must be at least 0; got ", options.start);
  check<UsageError>(options.stride >= 1, "stride must be at least 1; got ", options.stride);
  check<UsageError>(!options.max_frames || *options.max_frames >= 1, "max frames must be at least 1; got ",
                    options.max_frames.value_or(0));
  check<UsageError>(options.fps == 0 || (options.fps >= kLeastFps && options.fps <= kMostFps), "fps must be ",
                    kLeastFps, " to ", kMostFps, "; got ", options.fps);
  check<UsageError>(options.path == "-" || options.size == Size{},
                    "a frame size is only for raw frames on stdin (-); the size of ", options.path,
                    " is read from its file");
}

std::vector<std::string> images_in(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (has_image_extension(entry->path().string()) && !entry->is_directory()) files.push_back(entry->path().string());
  }
  check<InputError>(!error, "cannot read folder ", folder, ": ", error.message());
  check<InputError>(!files.empty(), "no images in folder ", folder, "; files ending in ", kImageExtensions,
                    " are read");
  return files;
}

std::vector<std::string> images_matching(const std::string& pattern) {
  glob_t matches{};
  const int status = ::glob(pattern.c_str(), 0, nullptr, &matches);
  std::vector<std::string> files;
  for (size_t i = 0; status == 0 && i < matches.gl_pathc; ++i) {
    const std::string file = matches.gl_pathv[i];
    if (has_image_extension(file) && !fs::is_directory(file)) files.push_back(file);
  }
  globfree(&matches);
  check<InputError>(!files.empty(), "no image matches ", pattern, "; files ending in ", kImageExtensions,
                    " are read, and the pattern should be in quotes");
  return files;
}

std::unique_ptr<FrameSource> open_sequence(std::vector<std::string> files, const SourceOptions& options) {
  std::sort(files.begin(), files.end(), natural_less);
  const fs::path folder = fs::absolute(files.front()).lexically_normal().parent_path();
  return open_images(folder.filename().string(), std::move(files), options);
}

}  // namespace

FrameSource::FrameSource(FrameInfo info, const SourceOptions& options)
    : options_(options), info_(selected(std::move(info), options)), wanted_(options.start) {}

bool FrameSource::skip(int64_t position) { return read(position).has_value(); }

std::optional<Frame> FrameSource::next() {
  if (options_.max_frames && returned_ >= *options_.max_frames) return std::nullopt;
  while (position_ < wanted_ && skip(position_)) ++position_;
  std::optional<Frame> frame;
  if (position_ == wanted_) frame = read(position_);
  if (!frame) {
    check<InputError>(returned_ > 0 || position_ == 0, "no frame at start ", options_.start, " of ", options_.path,
                      ", which has ", position_, " frames; give a smaller start");
    check<InputError>(returned_ > 0, "no frame in ", options_.path == "-" ? "stdin" : options_.path,
                      "; check that the input is complete");
    return frame;
  }
  check<InputError>(frame->image.size() == info_.size, "frame sizes differ in ", options_.path, ": frame ", position_,
                    " (", frame->name, ") is ", frame->image.width, "x", frame->image.height,
                    ", but the first frame is ", info_.size.width, "x", info_.size.height,
                    "; all frames of a clip must have one size");
  ++position_;
  ++returned_;
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  wanted_ = wanted_ > kNever - options_.stride ? kNever : wanted_ + options_.stride;
  return frame;
}

std::unique_ptr<FrameSource> open_source(const SourceOptions& options) {
  check_options(options);
  if (options.path == "-") return open_raw(options);
  std::error_code error;
  const fs::file_status status = fs::status(options.path, error);
  if (fs::is_directory(status)) return open_sequence(images_in(options.path), options);
  if (fs::exists(status)) {
    check<InputError>(fs::is_regular_file(status), "cannot read ", options.path,
                      ": it is a device or a pipe; give a file or a folder, or pipe raw RGB frames to - (stdin)");
    if (!has_image_extension(options.path)) return open_video(options);
    return open_images(fs::path(options.path).stem().string(), {options.path}, options);
  }
  check<InputError>(
      options.path.find_first_of("*?[") != std::string::npos, "cannot open ", options.path, ": ",
      error ? error.message() : std::strerror(ENOENT),
      "; give a video file, a folder of images, a quoted pattern such as 'clip/*.png', or - for raw frames");
  return open_sequence(images_matching(options.path), options);
}

}  // namespace visage::media
