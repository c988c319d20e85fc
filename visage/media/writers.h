#pragma once
#include "visage/media/video_writer.h"

#include <memory>
#include <string>

namespace visage::media {

// The formats behind open_video_writer; `path` is the final name.
std::unique_ptr<VideoWriter> open_gif(const std::string& path, const VideoOptions& options);
std::unique_ptr<VideoWriter> open_frames(const std::string& path, const VideoOptions& options);
/// Null when this build has no FFmpeg or no encoder that takes the size.
std::unique_ptr<VideoWriter> open_mp4(const std::string& path, const VideoOptions& options);

}  // namespace visage::media
