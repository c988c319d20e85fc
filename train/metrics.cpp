#include "train/metrics.h"

#include "tensor/error.h"
#include "tensor/files.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>

namespace visage::train {
namespace {

using Json = nlohmann::ordered_json;

struct ScoreField {
  const char* name;
  double EvaluationScore::*value;
};
constexpr ScoreField kScores[] = {{"AP", &EvaluationScore::ap},     {"AP50", &EvaluationScore::ap50},
                                  {"AP75", &EvaluationScore::ap75}, {"AR1", &EvaluationScore::ar1},
                                  {"AR10", &EvaluationScore::ar10}, {"HOTA", &EvaluationScore::hota},
                                  {"IDF1", &EvaluationScore::idf1}};
constexpr const char* kTermPrefix = "loss_";

Json to_json(const StepReport& step) {
  Json line{{"step", step.step + 1},
            {"loss", step.total},
            {"learning_rate", step.learning_rate},
            {"gradient_norm", step.gradient_norm},
            {"seconds", step.seconds},
            {"data_seconds", step.data_seconds},
            {"images", step.images}};
  for (const auto& [name, value] : step.terms) line[name] = value;
  return line;
}

Json to_json(const EvaluationReport& evaluation) {
  Json sets = Json::object();
  for (const EvaluationScore& score : evaluation.scores) {
    Json& set = sets[score.set];
    for (const ScoreField& field : kScores) {
      const double value = score.*field.value;
      set[field.name] = value < 0 ? Json(nullptr) : Json(value);  // nothing is annotated
    }
    set["id_switches"] = score.id_switches;
  }
  return {{"step", evaluation.steps}, {"AP", evaluation.ap()}, {"seconds", evaluation.seconds}, {"evaluation", sets}};
}

// Of a line that was cut off, or edited, numbers may be missing.
double number(const Json& line, const char* name, double otherwise) {
  const auto found = line.find(name);
  return found != line.end() && found->is_number() ? found->get<double>() : otherwise;
}

StepReport step_of(const Json& line, std::int64_t steps) {
  StepReport step{.step = steps - 1,
                  .total = number(line, "loss", 0),
                  .gradient_norm = number(line, "gradient_norm", 0),
                  .learning_rate = number(line, "learning_rate", 0),
                  .seconds = number(line, "seconds", 0),
                  .data_seconds = number(line, "data_seconds", 0),
                  .images = static_cast<std::int64_t>(number(line, "images", 0))};
  for (const auto& [name, value] : line.items())
    if (name.starts_with(kTermPrefix) && value.is_number()) step.terms.emplace_back(name, value.get<double>());
  return step;
}

EvaluationReport evaluation_of(const Json& line, std::int64_t steps) {
  EvaluationReport evaluation{.steps = steps, .seconds = number(line, "seconds", 0), .scores = {}};
  for (const auto& [name, set] : line["evaluation"].items()) {
    EvaluationScore score{.set = name};
    for (const ScoreField& field : kScores) score.*field.value = number(set, field.name, -1);
    score.id_switches = static_cast<std::int64_t>(number(set, "id_switches", 0));
    evaluation.scores.push_back(score);
  }
  return evaluation;
}

// Hands the lines of the first `steps` steps to `reader` and returns them.
std::string kept_lines(const std::string& path, std::int64_t steps, MetricsReader& reader) {
  std::ifstream in(path);
  std::string kept;
  for (std::string text; std::getline(in, text);) {
    const Json line = Json::parse(text, nullptr, false);
    if (!line.is_object()) continue;
    const auto step = static_cast<std::int64_t>(number(line, "step", 0));
    if (step < 1 || step > steps) continue;
    if (line.contains("evaluation"))
      reader.add(evaluation_of(line, step));
    else
      reader.add(step_of(line, step));
    kept += text + '\n';
  }
  return kept;
}

}  // namespace

double EvaluationReport::ap() const {
  double sum = 0;
  for (const EvaluationScore& score : scores) sum += std::max(score.ap, 0.0);
  return scores.empty() ? 0 : sum / static_cast<double>(scores.size());
}

MetricsFile::MetricsFile(std::string path, std::int64_t steps, MetricsReader& reader) : path_(std::move(path)) {
  files::AtomicFile file(path_);
  file.write(kept_lines(path_, steps, reader));
  file.commit();
  out_.open(path_, std::ios::app);
  if (!out_) files::cannot_write(path_, errno);
}

void MetricsFile::add(const StepReport& step) { out_ << to_json(step).dump() << '\n'; }

void MetricsFile::add(const EvaluationReport& evaluation) { out_ << to_json(evaluation).dump() << '\n'; }

void MetricsFile::flush() {
  if (!out_.flush()) files::cannot_write(path_, errno);
}

}  // namespace visage::train
