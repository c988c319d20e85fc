#pragma once
#include "visage/media/frame_rate.h"
#include "visage/media/frame_source.h"

#include <memory>
#include <string>
#include <vector>

namespace visage::media {

// The kinds of sources behind open_source; each throws as documented there.
std::unique_ptr<FrameSource> open_images(const std::string& clip_name, std::vector<std::string> files,
                                         const SourceOptions& options);
std::unique_ptr<FrameSource> open_raw(const SourceOptions& options);
std::unique_ptr<FrameSource> open_video(const SourceOptions& options);

}  // namespace visage::media
