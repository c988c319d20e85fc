#include "visage/media/frame_name.h"

namespace visage::media {

std::string frame_name(int64_t position) {
  const std::string digits = std::to_string(position);
  return "frame_" + std::string(digits.size() < 6 ? 6 - digits.size() : 0, '0') + digits;
}

}  // namespace visage::media
