#pragma once
#include "visage/media/frame_rate.h"
#include "visage/media/frame_source.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace visage::media {

/// The images there are now, in any order.
using ListImages = std::function<std::vector<std::string>()>;

// The kinds of sources behind open_source; each throws as documented there.
std::unique_ptr<FrameSource> open_images(const std::string& clip_name, std::vector<std::string> files,
                                         const SourceOptions& options);
std::unique_ptr<FrameSource> open_growing_images(ListImages list, const SourceOptions& options);
std::unique_ptr<FrameSource> open_raw(const SourceOptions& options);
std::unique_ptr<FrameSource> open_video(const SourceOptions& options);

/// Whether a path is "-" or a named pipe.
bool is_stream(const std::string& path);
/// Of a path in messages: "stdin" for "-".
std::string shown_name(const std::string& path);
/// FrameInfo::name of a file or stream.
std::string clip_name(const std::string& path);
/// FrameInfo::name of images: their folder's.
std::string folder_name(const std::string& image);
/// FrameSource::files() of a file or stream: none for "-".
std::vector<std::string> files_of_stream(const std::string& path);

}  // namespace visage::media
