#pragma once
#include <cstdint>
#include <string>

namespace visage::media {

/// "frame_000012": the name of a frame that is no file of its own.
std::string frame_name(int64_t position);

}  // namespace visage::media
