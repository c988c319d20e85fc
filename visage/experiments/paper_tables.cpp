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

// The tracker, on all that is known of a query.
TrackingConfig with_tracker(TrackingConfig setting, TrackerKind tracker) {
  setting.tracker = tracker;
  for (Embedding* compared :
       {&setting.minvis.embedding, &setting.idol.embedding, &setting.ctvis.embedding, &setting.qdtrack.embedding})
    *compared = Embedding::both;
  return setting;
}

TrackingConfig without_nms(TrackingConfig setting) {
  setting.idol.nms_iou = setting.ctvis.nms_iou = setting.qdtrack.nms_iou = setting.qdtrack.low_score_iou = 1;
  return setting;
}

TrackingConfig with_solver(TrackingConfig setting, Solver solver) {
  setting.minvis.solver = setting.idol.solver = setting.ctvis.solver = setting.qdtrack.solver = solver;
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

AblationTable tracker_table(const TrackingConfig& base) {
  AblationTable table{"Table 5: trackers", {"YTVIS19"}, {}};
  const auto add = [&](const std::string& name, const TrackingConfig& setting, std::optional<double> paper) {
    table.rows.push_back({name, setting, {paper}});
  };
  const auto add_family = [&](const std::string& name, TrackerKind kind, std::optional<double> without,
                              std::optional<double> with) {
    const TrackingConfig setting = with_tracker(base, kind);
    add(name + " without NMS", without_nms(setting), without);
    add(name + " with NMS", setting, with);
    add(name + " with NMS, Hungarian", with_solver(setting, Solver::hungarian), {});
  };
  // The paper has one row for both.
  add_family("IDOL", TrackerKind::idol, 52.7, 54.4);
  add_family("CTVIS", TrackerKind::ctvis, 52.7, 54.4);
  add_family("QDTrack", TrackerKind::qdtrack, {}, {});
  const TrackingConfig minvis = with_tracker(base, TrackerKind::minvis);
  add("MinVIS", minvis, {});
  add("MinVIS, greedy", with_solver(minvis, Solver::greedy), {});
  add("VISAGE", base, 55.1);
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
  AblationTable table{"Table 7: objects that keep their paths (track) and exchange them (swap)", {"track", "swap"}, {}};
  const auto add = [&](const std::string& name, const std::optional<TrackingConfig>& setting,
                       std::optional<double> track, std::optional<double> swap) {
    table.rows.push_back({name, setting, {track, swap}});
  };
  const auto add_tracker = [&](const std::string& name, TrackerKind kind, std::optional<double> track = {},
                               std::optional<double> swap = {}) {
    TrackingConfig setting = base;
    setting.tracker = kind;
    add(name, setting, track, swap);
  };
  add("GenVIS", {}, 54.8, 41.8);
  add_tracker("MinVIS", TrackerKind::minvis);
  add_tracker("QDTrack", TrackerKind::qdtrack);
  add_tracker("IDOL", TrackerKind::idol);
  add_tracker("CTVIS", TrackerKind::ctvis, 63.7, 53.1);
  const TrackingConfig without = with_alpha(base, 0);
  add("VISAGE without appearance (" + alpha_name(without) + ")", without, 65.2, 51.8);
  add("VISAGE (" + alpha_name(base) + ")", base, 65.8, 63.0);
  return table;
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

AblationTable ablation_table(Ablation ablation, const TrackingConfig& configured) {
  TrackingConfig base = configured;
  base.tracker = TrackerKind::visage;
  switch (ablation) {
    case Ablation::memory: return memory_table(base);
    case Ablation::trackers: return tracker_table(base);
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
