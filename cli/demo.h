#pragma once
#include "cli/load_model.h"
#include "cli/progress.h"
#include "visage/media/image.h"
#include "visage/pipeline/outputs.h"

#include <cstdint>
#include <string>
#include <vector>

namespace visage::cli {

/// `visage demo`.
struct DemoCommand {
  std::string output = "visage_demo";
  std::int64_t frames = 36;
  media::Size size{.width = 480, .height = 288};
  std::uint64_t seed = 4;
  std::string config;
  std::vector<std::string> overrides;
  WeightChoice weights{.test_weights = "public"};
  files::Existing existing = files::Existing::refuse;
  int threads = 0;
  Verbosity verbosity = Verbosity::normal;
  std::vector<std::string> arguments;  // as typed, for run.json
};

/// Makes two synthetic clips (OUTPUT/clips): in one the objects exchange their paths, in the other they keep them.
/// Tracks them, the first also without appearance (OUTPUT/tracks), and writes a page that compares the tracks with the
/// truth (OUTPUT/index.html, which needs no other file). throws UsageError, InputError or CheckpointError.
void run_demo(const DemoCommand& command);

}  // namespace visage::cli
