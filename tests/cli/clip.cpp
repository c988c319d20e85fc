#include "tests/cli/clip.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

namespace visage::test {
namespace {

namespace fs = std::filesystem;

void must(const std::vector<std::string>& arguments) {
  const Ended ended = run(arguments);
  if (ended.code != 0) throw std::runtime_error("cannot prepare the test: " + ended.err);
}

}  // namespace

Clip::Clip() {
  const std::string size = std::to_string(kClipWidth) + "x" + std::to_string(kClipHeight);
  must({"pseudo", "--output", folder / "pseudo", "--size", size, "--frames", std::to_string(kClipFrames)});
  frames = folder / "pseudo/swap/JPEGImages/video_0000";
  const std::string mp4 = folder / "pseudo/swap/video_0000.mp4";
  if (fs::exists(mp4)) video = mp4;
  weights = folder / "weights.safetensors";
  weights_pth = folder / "weights.pth";
  for (const std::string& file : {weights, weights_pth})
    must({"inspect", "--make-test-weights", "public", file, "--config", kTinyConfig});
}

const Clip& clip() {
  static const Clip made;
  return made;
}

std::vector<std::string> track_arguments(const std::string& input, const std::string& output,
                                         const std::vector<std::string>& more) {
  std::vector<std::string> all = {"track",
                                  input,
                                  "--output",
                                  output,
                                  "--config",
                                  kTinyConfig,
                                  "--device",
                                  "cpu",
                                  "--quiet",
                                  "--set",
                                  "inference.shortest_edge=64",
                                  "--min-score",
                                  "0"};
  const auto has = [&](const std::string& flag) { return std::find(more.begin(), more.end(), flag) != more.end(); };
  if (!has("--weights") && !has("--test-weights")) all.insert(all.end(), {"--weights", clip().weights});
  if (!has("--overlay")) all.insert(all.end(), {"--overlay", "none"});
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::vector<std::string> names_in(const std::string& folder) {
  if (!fs::exists(folder)) return {"(no folder)"};
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace visage::test
