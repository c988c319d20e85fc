#include "cli/run_record.h"

#include "cli/version.h"
#include "tensor/cpu/parallel.h"
#include "tensor/files.h"
#include "tensor/stage_timer.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <thread>

namespace visage::cli {
namespace {

using Json = nlohmann::ordered_json;

Json stages() {
  Json list = Json::array();
  for (const StageTime& stage : stage_times())
    list.push_back({{"name", stage.name},
                    {"calls", stage.calls},
                    {"wall_seconds", stage.wall_seconds},
                    {"cpu_seconds", stage.cpu_seconds}});
  return list;
}

Json weights(const WeightChoice& choice) {
  if (choice.test_weights.empty()) return {{"file", choice.file}};
  return {{"test_weights", choice.test_weights}, {"note", "masks, classes and tracks are meaningless"}};
}

}  // namespace

double percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(p * static_cast<double>(values.size() - 1) + 0.5)];
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(std::min(line.find(": ") + 2, line.size()));
  return "unknown";
}

void write_run_record(const std::string& path, const TrackCommand& command, const Config& config,
                      const media::FrameInfo& clip, const TrackSummary& summary) {
  const auto milliseconds = [&](double p) { return 1e3 * percentile(summary.latencies, p); };
  const Json record = {
      {"visage", kVersion},
      {"arguments", command.arguments},
      {"configuration", config::to_toml(config)},
      {"weights", weights(command.weights)},
      {"plan", command.plan == pipeline::Plan::fast ? "fast" : "plain"},
      {"precision", name_of(command.precision)},
      {"clip", {{"name", clip.name}, {"width", clip.size.width}, {"height", clip.size.height}, {"fps", clip.fps}}},
      {"frames", summary.frames},
      {"complete", summary.complete},
      {"seconds", summary.seconds},
      {"frames_per_second", summary.seconds > 0 ? static_cast<double>(summary.frames) / summary.seconds : 0},
      {"latency_ms",
       {{"p50", milliseconds(0.5)}, {"p90", milliseconds(0.9)}, {"p99", milliseconds(0.99)}, {"max", milliseconds(1)}}},
      {"stages", stages()},
      {"machine",
       {{"cpu", cpu_name()}, {"cores", std::thread::hardware_concurrency()}, {"threads", cpu::num_threads()}}},
      {"files", summary.files}};
  files::AtomicFile file(path);
  file.write(record.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  file.commit();
}

}  // namespace visage::cli
