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
  std::int64_t frames = 8;
  media::Size size{.width = 320, .height = 192};
  std::uint64_t seed = 4;
  std::string config;
  std::vector<std::string> overrides;
  WeightChoice weights{.test_weights = "public"};
  files::Existing existing = files::Existing::refuse;
  int threads = 0;
  Verbosity verbosity = Verbosity::normal;
  std::vector<std::string> arguments;  // as typed, for run.json
};

/// Makes a synthetic clip in which objects swap their paths (OUTPUT/input), tracks it (OUTPUT/result) and writes a page
/// that shows both (OUTPUT/index.html, which needs no other file). throws UsageError, InputError or CheckpointError.
void run_demo(const DemoCommand& command);

}  // namespace visage::cli
