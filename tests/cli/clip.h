#pragma once
#include "tests/cli/program.h"
#include "tests/support/files.h"

#include <string>
#include <vector>

namespace visage::test {

inline const std::string kTinyConfig = data_path("../../configs/tiny.toml");
inline constexpr int kClipWidth = 96, kClipHeight = 64, kClipFrames = 8;

/// A short synthetic clip and weights that fit configs/tiny.toml, made by the program once.
struct Clip {
  Clip();

  TemporaryFolder folder;
  std::string frames;       // folder of PNG files
  std::string video;        // mp4; empty without FFmpeg
  std::string weights;      // .safetensors
  std::string weights_pth;  // the same as .pth
};
const Clip& clip();

/// `visage track INPUT` with the tiny model on small frames, objects of any score, without a picture.
std::vector<std::string> track_arguments(const std::string& input, const std::string& output,
                                         const std::vector<std::string>& more = {});

/// Names in a folder, sorted; "(no folder)" when it does not exist.
std::vector<std::string> names_in(const std::string& folder);

}  // namespace visage::test
