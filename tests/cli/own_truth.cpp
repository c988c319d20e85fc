#include "tests/cli/own_truth.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <stdexcept>

namespace visage::test {
namespace {

using nlohmann::json;

void run_or_throw(const std::vector<std::string>& command) {
  const Ended ended = run(command);
  if (ended.code != 0) throw std::runtime_error(ended.err);
}

}  // namespace

std::vector<std::string> joined(std::vector<std::string> list, const std::vector<std::string>& more) {
  list.insert(list.end(), more.begin(), more.end());
  return list;
}

std::vector<std::string> with_tiny_model(const std::vector<std::string>& command) {
  return joined(command, {"--weights", clip().weights, "--config", kTinyConfig, "--quiet"});
}

std::string make_videos(const TemporaryFolder& folder) {
  run_or_throw({"pseudo", "--output", folder / "set", "--videos", "2", "--frames", "5", "--size", "96x64", "--clips",
                "none", "--curve-frames", "5", "--quiet"});
  return folder / "set/swap";
}

std::string make_own_truth(const TemporaryFolder& folder) {
  const std::string data = make_videos(folder), results = folder / "results.json";
  run_or_throw(with_tiny_model({"eval", "--data", data, "--set", "tracking.alpha=0", "--output", results}));
  json truth = json::parse(read_text(data + "/instances.json"));
  truth["annotations"] = json::array();
  for (const json& row : json::parse(read_text(results))) {
    const json& masks = row.at("segmentations");
    if (std::ranges::all_of(masks, [](const json& mask) { return mask.is_null(); })) continue;
    json areas = json::array();
    for (const json& mask : masks) areas.push_back(mask.is_null() ? json() : json(100));
    truth["annotations"].push_back({{"id", truth["annotations"].size() + 1},
                                    {"video_id", row.at("video_id")},
                                    {"category_id", row.at("category_id")},
                                    {"iscrowd", 0},
                                    {"areas", areas},
                                    {"segmentations", masks}});
  }
  write_text(data + "/instances.json", truth.dump());
  return data;
}

}  // namespace visage::test
