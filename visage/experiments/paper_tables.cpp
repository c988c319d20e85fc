#include "visage/experiments/paper_tables.h"

#include <algorithm>
#include <cstdio>
#include <set>

namespace visage::experiments {
namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

std::string alpha_name(const TrackingConfig& setting) { return "alpha = " + number(setting.alpha); }
std::string window_name(const TrackingConfig& setting) { return "W = " + std::to_string(setting.window); }

TrackingConfig with_alpha(TrackingConfig setting, double alpha) {
  setting.alpha = alpha;
  return setting;
}

TrackingConfig with_window(TrackingConfig setting, int window) {
  setting.window = window;
  return setting;
}

AblationTable memory_table(const TrackingConfig& base) {
  AblationTable table{"Table 4: appearance and memory bank", {"YTVIS19"}, {}};
  const auto add = [&](const std::string& name, const TrackingConfig& setting, double paper) {
    table.rows.push_back({name + " (" + alpha_name(setting) + ", " + window_name(setting) + ")", setting, {paper}});
  };
  add("neither", with_window(with_alpha(base, 0), 1), 49.9);
  add("appearance", with_window(base, 1), 50.2);
  add("memory bank", with_alpha(base, 0), 53.4);
  add("both", base, 55.1);
  return table;
}

AblationTable alpha_table(const TrackingConfig& base) {
  AblationTable table{"Table 6: weight of appearance", {"YTVIS19", "OVIS"}, {}};
  const auto add = [&](double alpha, double ytvis, double ovis) {
    const TrackingConfig setting = with_alpha(base, alpha);
    table.rows.push_back({alpha_name(setting), setting, {ytvis, ovis}});
  };
  add(0, 53.4, 32.2);
  add(0.25, 53.6, 34.5);
  add(0.5, 54.5, 34.8);
  add(0.75, 55.1, 36.2);
  add(1, 24.9, 11.4);
  return table;
}

AblationTable pseudo_table(const TrackingConfig& base) {
  const TrackingConfig without = with_alpha(base, 0);
  return {"Table 7: objects that keep their paths (track) and exchange them (swap)",
          {"track", "swap"},
          {{"GenVIS", {}, {54.8, 41.8}},
           {"CTVIS", {}, {63.7, 53.1}},
           {"VISAGE without appearance (" + alpha_name(without) + ")", without, {65.2, 51.8}},
           {"VISAGE (" + alpha_name(base) + ")", base, {65.8, 63.0}}}};
}

AblationTable window_table(const TrackingConfig& base) {
  AblationTable table{"Frames of the memory bank", {}, {}};
  std::set<int> windows = {1, 2, 3, 5, 7, 10, 20, 30};
  windows.insert(base.window);
  for (const int window : windows) {
    const TrackingConfig setting = with_window(base, window);
    table.rows.push_back({window_name(setting), setting, {}});
  }
  return table;
}

AblationTable weighting_table(const TrackingConfig& base) {
  AblationTable table{"Weights of the memory bank", {}, {}};
  const auto add = [&](const char* name, MemoryWeighting weighting) {
    TrackingConfig setting = base;
    setting.weighting = weighting;
    table.rows.push_back({name, setting, {}});
  };
  add("paper: the newest frame most (Eq. 1)", MemoryWeighting::paper);
  add("released code: the newest frame least", MemoryWeighting::release);
  return table;
}

}  // namespace

AblationTable ablation_table(Ablation ablation, const TrackingConfig& base) {
  switch (ablation) {
    case Ablation::memory: return memory_table(base);
    case Ablation::alpha: return alpha_table(base);
    case Ablation::pseudo: return pseudo_table(base);
    case Ablation::window: return window_table(base);
    default: return weighting_table(base);
  }
}

std::vector<TrackingConfig> settings_of(std::span<const AblationTable> tables) {
  std::vector<TrackingConfig> settings;
  for (const AblationTable& table : tables)
    for (const AblationRow& row : table.rows)
      if (row.tracking && std::ranges::find(settings, *row.tracking) == settings.end())
        settings.push_back(*row.tracking);
  return settings;
}

}  // namespace visage::experiments
