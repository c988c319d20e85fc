#include "cli/sweep.h"

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/table.h"
#include "cli/track.h"
#include "tensor/error.h"
#include "tensor/files.h"
#include "visage/config/keys.h"
#include "visage/experiments/sweep.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <ostream>

namespace visage::cli {
namespace {

using evaluation::Evaluation;
using experiments::Ablation;
using experiments::AblationRow;
using experiments::AblationTable;
using Json = nlohmann::ordered_json;

constexpr const char* kFootnote =
    "AP in percent; with more than one set of a name, mean \u00b1 standard deviation over the sets. \"paper\": what "
    "Kim "
    "et al. (ECCV 2024) report for ResNet-50 on the data named; other data and another model, so compare the trend.";

// The keys below `tracking` that the tracker of the setting reads.
Json setting_json(const TrackingConfig& setting) {
  Json keys;
  config::visit_tracking_keys(
      setting, [&](const std::string& path, const auto& field, const auto& rule, const std::string&) {
        std::string key = path.substr(path.find('.') + 1);
        const auto dot = key.find('.');
        if (dot != std::string::npos && key.substr(0, dot) != keys.at("tracker").template get<std::string>()) return;
        std::ranges::replace(key, '.', '/');
        keys[Json::json_pointer("/" + key)] = Json::parse(config::text_of(rule.value(field)));
      });
  return keys;
}

// Evaluations of every setting on every set.
class Results {
 public:
  Results(const EvaluationSets& sets, std::vector<TrackingConfig> settings)
      : sets_(sets), settings_(std::move(settings)), evaluations_(settings_.size()) {}

  const std::vector<TrackingConfig>& settings() const { return settings_; }

  /// Of the next set.
  void add(std::vector<Evaluation> of_settings) {
    for (std::size_t i = 0; i < settings_.size(); ++i) evaluations_[i].push_back(std::move(of_settings[i]));
  }

  /// "12.3 ± 0.4" of a setting on the sets of a group.
  std::string ap(const TrackingConfig& setting, const std::string& group) const {
    const auto at = static_cast<std::size_t>(std::ranges::find(settings_, setting) - settings_.begin());
    return percent_text(values_of(at, group, [](const Evaluation& e) { return e.ap.ap; }));
  }

  Json to_json() const {
    Json list = Json::array();
    for (std::size_t i = 0; i < settings_.size(); ++i) {
      Json groups = Json::object();
      for (const std::string& group : sets_.groups()) groups[group] = metrics(i, group);
      list.push_back(setting_json(settings_[i]));
      list.back()["results"] = groups;
    }
    return list;
  }

 private:
  template <class F>
  std::vector<double> values_of(std::size_t setting, const std::string& group, F&& value) const {
    std::vector<double> values;
    for (std::size_t i = 0; i < sets_.sets().size(); ++i)
      if (sets_.sets()[i].group == group) values.push_back(value(evaluations_[setting][i]));
    return values;
  }

  // Fractions of 1; "values" in the order of the sets.
  Json metrics(std::size_t setting, const std::string& group) const {
    Json result = Json::object();
    const auto add = [&](const char* name, auto&& value) {
      const std::vector<double> values = values_of(setting, group, value);
      const experiments::Spread spread = experiments::spread_of(values);
      result[name] = {{"mean", spread.mean}, {"deviation", spread.deviation}, {"values", values}};
    };
    add("AP", [](const Evaluation& e) { return e.ap.ap; });
    add("AP50", [](const Evaluation& e) { return e.ap.ap50; });
    add("AP75", [](const Evaluation& e) { return e.ap.ap75; });
    add("AR_1", [](const Evaluation& e) { return e.ap.ar1; });
    add("AR_10", [](const Evaluation& e) { return e.ap.ar10; });
    add("HOTA", [](const Evaluation& e) { return e.tracking.class_agnostic.hota; });
    add("IDF1", [](const Evaluation& e) { return e.tracking.class_agnostic.idf1; });
    add("id_switches", [](const Evaluation& e) { return static_cast<double>(e.tracking.class_agnostic.id_switches); });
    return result;
  }

  const EvaluationSets& sets_;
  std::vector<TrackingConfig> settings_;
  std::vector<std::vector<Evaluation>> evaluations_;  // [settings][sets]
};

Table filled(const AblationTable& ablation, const Results& results, const std::vector<std::string>& groups) {
  Table table{.title = ablation.title, .headings = {""}, .rows = {}};
  for (const std::string& group : groups) table.headings.push_back(group);
  for (const std::string& column : ablation.paper_columns) table.headings.push_back("paper, " + column);
  for (const AblationRow& row : ablation.rows) {
    std::vector<std::string> cells = {row.name};
    for (const std::string& group : groups) cells.push_back(row.tracking ? results.ap(*row.tracking, group) : "");
    for (const std::optional<double>& paper : row.paper) cells.push_back(paper ? percent_text(*paper / 100) : "");
    table.rows.push_back(std::move(cells));
  }
  return table;
}

std::vector<AblationTable> chosen_tables(const SweepCommand& command, const TrackingConfig& base) {
  std::vector<Ablation> chosen = command.tables;
  if (chosen.empty())
    chosen = {Ablation::memory, Ablation::trackers, Ablation::alpha,
              Ablation::pseudo, Ablation::window,   Ablation::weighting};
  std::vector<AblationTable> tables;
  for (const Ablation ablation : chosen) tables.push_back(experiments::ablation_table(ablation, base));
  return tables;
}

std::string base_line(const TrackingConfig& base) {
  char text[96];
  std::snprintf(text, sizeof text, " Unless a row says otherwise: alpha %g, W %d, %s weighting.", base.alpha,
                base.window, base.weighting == MemoryWeighting::paper ? "paper" : "release");
  return text;
}

}  // namespace

void run_sweep(const SweepCommand& command, std::ostream& out) {
  // Opened first: a report that cannot be written is better known before the work than after it.
  std::unique_ptr<files::AtomicFile> json;
  if (!command.json.empty()) json = std::make_unique<files::AtomicFile>(command.json);
  std::optional<MarkdownSection> markdown;
  if (!command.markdown.empty()) markdown.emplace(command.markdown, "visage sweep");

  constexpr pseudo::Mode kModes[] = {pseudo::Mode::track, pseudo::Mode::swap};
  const Experiment experiment(command.experiment, kModes);
  const EvaluationSets& sets = experiment.sets();
  const std::vector<AblationTable> ablations = chosen_tables(command, experiment.config().tracking);
  Results results(sets, experiments::settings_of(ablations));
  {
    const Interrupt interrupt;
    Progress progress(sets.frames(), command.experiment.verbosity);
    std::int64_t done = 0;
    for (const EvaluationSet& set : sets.sets()) {
      results.add(experiments::evaluate_settings(experiment.detector(), experiment.options(), results.settings(),
                                                 set.dataset, set.images, set.category_ids, [&](std::int64_t frames) {
                                                   check<Interrupted>(!interrupt.requested(),
                                                                      "interrupted; nothing was written");
                                                   progress.update(done + frames);
                                                 }));
      done += set.frames();
    }
  }

  const std::string measured = experiment.conditions() + base_line(experiment.config().tracking);
  std::string text = measured + "\n\n" + kFootnote + "\n";
  out << measured << "\n";
  for (const AblationTable& ablation : ablations) {
    const Table table = filled(ablation, results, sets.groups());
    out << "\n";
    table.print(out);
    text += "\n" + table.markdown();
  }
  out << "\n" << kFootnote << "\n";
  if (markdown) markdown->write(text);
  if (!json) return;
  Json folders = Json::array();
  for (const EvaluationSet& set : sets.sets()) folders.push_back({{"folder", set.folder}, {"group", set.group}});
  json->write(Json{{"measured", measured}, {"sets", folders}, {"settings", results.to_json()}}.dump(2) + "\n");
  json->commit();
}

void define_sweep(CLI::App& program) {
  const auto command = std::make_shared<SweepCommand>();
  SweepCommand& c = *command;
  CLI::App& app = add_command(program, "sweep",
                              "Reproduce the paper's tables: many settings of the tracker, one pass of the detector",
                              "Examples:\n"
                              "  visage sweep --weights model.safetensors --config model.toml\n"
                              "  visage sweep --data data/track --data data/swap --table 7 --weights ...\n"
                              "  visage sweep --data a/swap --data b/swap --table 6 --json alpha.json --weights ...");
  add_experiment(app, c.experiment);
  using experiments::Ablation;
  add_choice(app, "--table", c.tables,
             {{"all", {}},
              {"4", {Ablation::memory}},
              {"5", {Ablation::trackers}},
              {"6", {Ablation::alpha}},
              {"7", {Ablation::pseudo}},
              {"window", {Ablation::window}},
              {"weighting", {Ablation::weighting}}},
             "Table of the paper, or frames or weights of the memory bank (default all)");
  app.add_option("--json", c.json, "Also write all numbers here")->type_name("FILE")->group("Output");
  app.add_option("--markdown", c.markdown, "Also write the tables into a section of this file")
      ->type_name("FILE")
      ->group("Output");
  app.final_callback([command] { run_sweep(*command, std::cout); });
}

}  // namespace visage::cli
