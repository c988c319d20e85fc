#pragma once

namespace visage::cli {

/// Of the project, as CMake knows it.
extern const char* const kVersion;
/// What this build can do: "CPU, FFmpeg".
extern const char* const kFeatures;

}  // namespace visage::cli
