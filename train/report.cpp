#include "train/report.h"

#include "tensor/files.h"
#include "visage/media/markup.h"

#include <algorithm>
#include <cstdio>
#include <sstream>

namespace visage::train {
namespace {

constexpr const char* kStyle = R"(
:root{--ink:#1c2330;--soft:#5d6778;--line:#e2e6ee;--paper:#fff;--ground:#f5f7fa;--a:#3558d6;--b:#d2691e}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebf2;--soft:#9aa5b8;--line:#2c3444;--paper:#171c26;--ground:#0f131a;--a:#8aa4ff;--b:#f0a35e}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:32px 20px 56px}
h1{font-size:30px;margin:0 0 16px;letter-spacing:-.02em;overflow-wrap:anywhere}h2{font-size:19px;margin:28px 0 10px}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px}
.figures div,.card,.table{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
.figures b{display:block;font-size:23px;font-variant-numeric:tabular-nums}.figures span,.soft{color:var(--soft);font-size:14px}
.grid2{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr));gap:12px}
.card h3{font-size:15px;margin:0;display:flex;justify-content:space-between;gap:8px}.card h3 span{font-weight:400;color:var(--soft);font-variant-numeric:tabular-nums}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font:11px system-ui,sans-serif}
.grid{stroke:var(--line);fill:none}.line{fill:none;stroke-width:1.6;stroke-linejoin:round}
.c0{stroke:var(--a)}.c1{stroke:var(--b)}circle.c0{fill:var(--a)}circle.c1{fill:var(--b)}
.range{opacity:.18}.r0{fill:var(--a)}.r1{fill:var(--b)}
.key{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 5px 0 12px}.k0{background:var(--a)}.k1{background:var(--b)}
.table{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}
th{color:var(--soft);font-weight:600;text-align:left;border-bottom:1px solid var(--line);padding:4px 12px 4px 0}
td{border-bottom:1px solid var(--line);padding:4px 12px 4px 0;overflow-wrap:anywhere}.n{text-align:right}.best td{font-weight:600}
td code{font:13px ui-monospace,Menlo,Consolas,monospace}
)";

std::string percent(double fraction) {
  if (fraction < 0) return "&ndash;";
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", 100 * fraction);
  return text;
}

std::string duration(double seconds) {
  char text[48];
  const auto minutes = static_cast<long long>(seconds / 60);
  if (minutes >= 60)
    std::snprintf(text, sizeof text, "%lld h %02lld min", minutes / 60, minutes % 60);
  else
    std::snprintf(text, sizeof text, "%lld min %02d s", minutes, static_cast<int>(seconds) % 60);
  return text;
}

void figure(std::ostream& out, const std::string& value, const std::string& text) {
  out << "<div><b>" << value << "</b><span>" << text << "</span></div>";
}

void card(std::ostream& out, const std::string& title, const std::string& note, const std::string& chart) {
  out << "<div class=\"card\"><h3>" << title << " <span>" << note << "</span></h3>" << chart << "</div>\n";
}

// The evaluation with the greatest AP, the first of equals: the one whose weights best.safetensors has.
const EvaluationReport* best_of(const std::vector<EvaluationReport>& evaluations) {
  const auto best = std::ranges::max_element(evaluations, {}, &EvaluationReport::ap);
  return best == evaluations.end() ? nullptr : &*best;
}

}  // namespace

RunReport::RunReport(std::string name, const Config& config)
    : name_(std::move(name)),
      config_(config),
      loss_("loss", config.train.steps),
      learning_rate_("learning rate", config.train.steps),
      gradient_norm_("gradient norm", config.train.steps),
      speed_("images a second", config.train.steps),
      waiting_("waiting for data", config.train.steps) {}

Curve& RunReport::curve(std::deque<Curve>& curves, const std::string& name) {
  const auto found = std::ranges::find(curves, name, &Curve::name);
  return found != curves.end() ? *found : curves.emplace_back(name, config_.train.steps);
}

void RunReport::add(const StepReport& step) {
  const std::int64_t number = step.step + 1;
  loss_.add(number, step.total);
  for (const auto& [name, value] : step.terms) curve(terms_, name).add(number, value);
  learning_rate_.add(number, step.learning_rate);
  gradient_norm_.add(number, step.gradient_norm);
  if (step.seconds > 0) {
    speed_.add(number, static_cast<double>(step.images) / step.seconds, step.seconds);
    waiting_.add(number, 100 * step.data_seconds / step.seconds, step.seconds);
  }
  steps_ = number;
  images_ += step.images;
  seconds_ += step.seconds;
}

void RunReport::add(const EvaluationReport& evaluation) {
  evaluations_.push_back(evaluation);
  for (const EvaluationScore& score : evaluation.scores)
    if (score.ap >= 0) curve(scores_, score.set).add(evaluation.steps, 100 * score.ap);
  seconds_ += evaluation.seconds;
}

void RunReport::write_figures(std::ostream& out) const {
  out << "<div class=\"figures\">";
  figure(out, std::to_string(steps_) + " / " + std::to_string(config_.train.steps), "steps");
  figure(out, short_number(loss_.last()), "loss of the last step");
  figure(out, std::to_string(images_), "images");
  figure(out, duration(seconds_), "training and evaluation");
  if (const EvaluationReport* best = best_of(evaluations_))
    figure(out, percent(best->ap()), "best AP, after step " + std::to_string(best->steps));
  out << "</div>\n";
}

void RunReport::write_curves(std::ostream& out) const {
  const std::int64_t steps = config_.train.steps;
  const auto chart = [&](const Curve& curve, Scale scale) { return svg_chart({&curve}, steps, scale, Marks::none); };
  out << "<h2>Training</h2><div class=\"grid2\">\n";
  card(out, "Loss", short_number(loss_.last()), chart(loss_, Scale::linear));
  if (!scores_.empty()) {
    std::vector<const Curve*> curves;
    std::string key;
    for (const Curve& score : scores_) {
      const std::string color = std::to_string(std::min<std::size_t>(curves.size(), 1));
      key += "<i class=\"key k" + color + "\"></i>" + media::escaped_markup(score.name()) + " " +
             short_number(score.last());
      curves.push_back(&score);
    }
    card(out, "AP", key, svg_chart(curves, steps, Scale::linear, Marks::dots));
  }
  for (const Curve& term : terms_)
    card(out, media::escaped_markup(term.name()), short_number(term.last()), chart(term, Scale::linear));
  card(out, "Gradient norm", short_number(gradient_norm_.last()), chart(gradient_norm_, Scale::log));
  card(out, "Learning rate", short_number(learning_rate_.last()), chart(learning_rate_, Scale::linear));
  card(out, "Images a second", short_number(speed_.last()), chart(speed_, Scale::linear));
  card(out, "Waiting for data, % of the time", short_number(waiting_.last()), chart(waiting_, Scale::linear));
  out << "</div><p class=\"soft\">Lines are means of up to " << Curve::kMostBins
      << " groups of steps, the band behind them reaches from the least to the greatest value of each; the number "
         "beside "
         "a title is the last value. What lies far above the rest, as in the first steps, is cut off. Loss terms are "
         "weighted and summed over the prediction heads.</p>\n";
}

void RunReport::write_evaluations(std::ostream& out) const {
  if (evaluations_.empty()) return;
  const EvaluationReport* const best = best_of(evaluations_);
  out << "<h2>Evaluation</h2><div class=\"table\"><table><tr><th class=\"n\">step</th><th>set</th>";
  for (const char* name : {"AP", "AP50", "AP75", "AR1", "AR10", "HOTA", "IDF1", "ID switches"})
    out << "<th class=\"n\">" << name << "</th>";
  out << "</tr>\n";
  for (const EvaluationReport& evaluation : evaluations_) {
    for (const EvaluationScore& score : evaluation.scores) {
      out << "<tr" << (&evaluation == best ? " class=\"best\"" : "") << "><td class=\"n\">" << evaluation.steps
          << "</td><td>" << media::escaped_markup(score.set) << "</td>";
      for (const double value : {score.ap, score.ap50, score.ap75, score.ar1, score.ar10, score.hota, score.idf1})
        out << "<td class=\"n\">" << percent(value) << "</td>";
      out << "<td class=\"n\">" << score.id_switches << "</td></tr>\n";
    }
  }
  out << "</table></div>\n";
}

void RunReport::write_configuration(std::ostream& out) const {
  out << "<h2>Configuration</h2><div class=\"table\"><table><tr><th>key</th><th>value</th><th>default</th></tr>\n";
  for (const config::Difference& key : config::differences(Config{}, config_))
    out << "<tr><td><code>" << media::escaped_markup(key.key) << "</code></td><td><code>"
        << media::escaped_markup(key.after) << "</code></td><td class=\"soft\"><code>"
        << media::escaped_markup(key.before) << "</code></td></tr>\n";
  out << "</table></div><p class=\"soft\">Keys that have another value than the default; config.toml beside this page "
         "has them all.</p>\n";
}

void RunReport::write(const std::string& path) const {
  std::ostringstream out;
  out << "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width,initial-scale=1\"><title>"
      << media::escaped_markup(name_) << "</title><style>" << kStyle << "</style></head><body><main>\n<h1>Training of "
      << media::escaped_markup(name_) << "</h1>\n";
  write_figures(out);
  write_curves(out);
  write_evaluations(out);
  write_configuration(out);
  out << "</main></body></html>\n";
  files::AtomicFile file(path);
  file.write(out.str());
  file.commit();
}

}  // namespace visage::train
