#include "cli/sweep.h"

#include "cli/interrupt.h"
#include "cli/pipeline_options.h"
#include "cli/run_record.h"
#include "cli/table.h"
#include "cli/threads.h"
#include "tensor/cpu/parallel.h"
#include "tensor/error.h"
#include "tensor/files.h"
#include "tensor/log.h"
#include "visage/experiments/sweep.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
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

std::string percent(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
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
    const std::vector<double> values = values_of(at, group, [](const Evaluation& e) { return 100 * e.ap.ap; });
    const experiments::Spread spread = experiments::spread_of(values);
    return percent(spread.mean) + (values.size() > 1 ? " \u00b1 " + percent(spread.deviation) : "");
  }

  Json to_json() const {
    Json list = Json::array();
    for (std::size_t i = 0; i < settings_.size(); ++i) {
      Json groups = Json::object();
      for (const std::string& group : sets_.groups()) groups[group] = metrics(i, group);
      list.push_back({{"alpha", settings_[i].alpha},
                      {"window", settings_[i].window},
                      {"weighting", settings_[i].weighting == MemoryWeighting::paper ? "paper" : "release"},
                      {"results", groups}});
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
    for (const std::optional<double>& paper : row.paper) cells.push_back(paper ? percent(*paper) : "");
    table.rows.push_back(std::move(cells));
  }
  return table;
}

std::vector<AblationTable> chosen_tables(const SweepCommand& command, const TrackingConfig& base) {
  std::vector<Ablation> chosen = command.tables;
  if (chosen.empty())
    chosen = {Ablation::memory, Ablation::alpha, Ablation::pseudo, Ablation::window, Ablation::weighting};
  std::vector<AblationTable> tables;
  for (const Ablation ablation : chosen) tables.push_back(experiments::ablation_table(ablation, base));
  return tables;
}

// What was measured, in a sentence.
std::string conditions(const SweepCommand& command, const Config& config, const EvaluationSets& sets) {
  char date[16] = "";
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
  char base[96];
  std::snprintf(base, sizeof base, "alpha %g, W %d, %s weighting", config.tracking.alpha, config.tracking.window,
                config.tracking.weighting == MemoryWeighting::paper ? "paper" : "release");
  const std::string weights =
      command.weights.file.empty() ? "test weights " + command.weights.test_weights : command.weights.file;
  return "Weights: " + weights + ". Data: " + sets.description() + ". Unless a row says otherwise: " + base + ". " +
         date + ", " + cpu_name() + ".";
}

}  // namespace

void run_sweep(const SweepCommand& command, std::ostream& out) {
  check_choice(command.weights);
  check_threads(command.threads);
  const Config config = config::load_config(command.config, command.overrides);
  if (command.threads > 0) cpu::set_num_threads(command.threads);
  // Opened first: a report that cannot be written is better known before the work than after it.
  std::unique_ptr<files::AtomicFile> json;
  if (!command.json.empty()) json = std::make_unique<files::AtomicFile>(command.json);
  std::optional<MarkdownSection> markdown;
  if (!command.markdown.empty()) markdown.emplace(command.markdown, "visage sweep");

  std::vector<std::string> notes;
  const std::unique_ptr<Model> model = load_model(config.model, command.weights, notes);
  for (const std::string& note : notes) log::info(note);
  const std::unique_ptr<Detector> detector = pipeline::make_detector(*model, pipeline::Plan::fast, command.precision);

  constexpr pseudo::Mode kModes[] = {pseudo::Mode::track, pseudo::Mode::swap};
  const EvaluationSets sets(command.sets, kModes, config.model.detector.num_classes, command.verbosity);
  const std::vector<AblationTable> ablations = chosen_tables(command, config.tracking);
  Results results(sets, experiments::settings_of(ablations));
  {
    const Interrupt interrupt;
    Progress progress(sets.frames(), command.verbosity);
    std::int64_t done = 0;
    for (const EvaluationSet& set : sets.sets()) {
      results.add(experiments::evaluate_settings(
          *detector, pipeline_options(config, pipeline::Plan::fast, command.precision), results.settings(), set.dataset,
          set.images, set.category_ids, [&](std::int64_t frames) {
            check<Interrupted>(!interrupt.requested(), "interrupted; nothing was written");
            progress.update(done + frames);
          }));
      done += set.frames();
    }
  }

  const std::string measured = conditions(command, config, sets);
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

}  // namespace visage::cli
