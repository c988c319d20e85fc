#pragma once

namespace visage::media {

/// Frames a second of sources that carry no rate of their own.
inline constexpr double kDefaultFps = 25;
/// Rates that clips are written with and that a user can name.
inline constexpr double kLeastFps = 0.01, kMostFps = 1000;

}  // namespace visage::media
