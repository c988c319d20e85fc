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
  check<UsageError>(!options.follow || *options.follow > 0, "images are followed for more than 0 seconds; got ",
                    options.follow.value_or(0));
  const bool stream = is_stream(options.path);
  check<UsageError>(stream || options.size == Size{}, "a frame size is only for raw frames from a stream; the size of ",
                    options.path, " is read from its file");
  check<UsageError>(!options.follow || !stream, "only a folder or pattern of images can be followed; ",
                    shown_name(options.path), " is a stream, which is always read as it comes");
}

std::vector<std::string> images_in(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code gone;
    const fs::path& file = entry->path();
    const bool is_image = has_image_extension(file.string()) && !file.filename().string().starts_with('.');
    if (is_image && !entry->is_directory(gone)) files.push_back(file.string());
  }
  check<InputError>(!error, "cannot read folder ", folder, ": ", error.message());
  return files;
}

std::vector<std::string> images_matching(const std::string& pattern) {
  glob_t matches{};
  const int status = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &matches);
  std::vector<std::string> files;
  for (size_t i = 0; status == 0 && i < matches.gl_pathc; ++i) {
    const std::string file = matches.gl_pathv[i];
    std::error_code gone;
    if (has_image_extension(file) && !fs::is_directory(file, gone)) files.push_back(file);
  }
  globfree(&matches);
  return files;
}

/// `none` is what to say, followed by the path, where there are no images.
std::unique_ptr<FrameSource> open_sequence(const ListImages& list, Where none, const SourceOptions& options) {
  if (options.follow) return open_growing_images(list, options);
  std::vector<std::string> files = list();
  check<InputError>(!files.empty(), none, options.path, "; files ending in ", kImageExtensions, " are read");
  std::sort(files.begin(), files.end(), natural_less);
  const std::string name = folder_name(files.front());
  return open_images(name, std::move(files), options);
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
    if (options_.stop && options_.stop()) return frame;
    check<InputError>(returned_ > 0 || position_ == 0, "no frame at start ", options_.start, " of ", options_.path,
                      ", which has ", position_, " frames; give a smaller start");
    check<InputError>(returned_ > 0, "no frame in ", shown_name(options_.path), "; check that the input is complete");
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

bool is_stream(const std::string& path) {
  std::error_code missing;
  return path == "-" || fs::is_fifo(fs::status(path, missing));
}

std::string shown_name(const std::string& path) { return path == "-" ? "stdin" : path; }

std::string clip_name(const std::string& path) { return path == "-" ? "stdin" : fs::path(path).stem().string(); }

std::string folder_name(const std::string& image) {
  return fs::absolute(image).lexically_normal().parent_path().filename().string();
}

std::vector<std::string> files_of_stream(const std::string& path) {
  return path == "-" ? std::vector<std::string>{} : std::vector{path};
}

std::unique_ptr<FrameSource> open_source(const SourceOptions& options) {
  check_options(options);
  const std::string& path = options.path;
  if (is_stream(path)) return options.size == Size{} ? open_video(options) : open_raw(options);
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status))
    return open_sequence([path] { return images_in(path); }, "no images in folder ", options);
  if (fs::exists(status)) {
    check<InputError>(
        fs::is_regular_file(status), "cannot read ", path,
        ": it is a device or a socket; give a file, a folder or a named pipe, or pipe frames to - (stdin)");
    check<UsageError>(!options.follow, "only a folder or pattern of images can be followed; ", path, " is a file");
    if (!has_image_extension(path)) return open_video(options);
    return open_images(clip_name(path), {path}, options);
  }
  check<InputError>(path.find_first_of("*?[") != std::string::npos, "cannot open ", path, ": ",
                    error ? error.message() : std::strerror(ENOENT),
                    "; give a video file, a folder of images, a quoted pattern such as 'clip/*.png', or - for stdin");
  return open_sequence([path] { return images_matching(path); }, "no image matches ", options);
}

}  // namespace visage::media
