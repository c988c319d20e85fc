#include "cli/evaluation_report.h"

#include "cli/table.h"
#include "nn/checkpoint/file_bytes.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <map>
#include <ostream>

namespace visage::cli {
namespace {

using evaluation::CategoryAp;
using evaluation::CategoryTracking;
using evaluation::Evaluation;
using evaluation::IdentityMetrics;
using Json = nlohmann::ordered_json;

constexpr size_t kColumn = 7, kWidestName = 30;

std::string percent(double fraction) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", 100 * fraction);
  return right(fraction < 0 ? "-" : text, kColumn);
}

std::string count(std::int64_t number) { return right(std::to_string(number), kColumn); }

std::string headings(std::initializer_list<const char*> names) {
  std::string line;
  for (const char* name : names) line += right(name, kColumn);
  return line + "\n";
}

std::string percents(std::initializer_list<double> fractions) {
  std::string line;
  for (const double fraction : fractions) line += percent(fraction);
  return line;
}

std::string identity_line(const IdentityMetrics& metrics) {
  return percents({metrics.hota, metrics.det_a, metrics.ass_a, metrics.idf1}) + count(metrics.id_switches);
}

void print_categories(const Evaluation& evaluation, std::ostream& out) {
  std::map<std::int64_t, const IdentityMetrics*> identities;
  for (const CategoryTracking& category : evaluation.tracking.categories) identities[category.id] = &category.metrics;
  size_t width = 8;
  for (const CategoryAp& category : evaluation.ap.categories)
    if (category.ap() >= 0) width = std::max(width, characters(nn::escaped(category.name)));
  width = std::min(width, kWidestName);
  out << "\n" << left("category", width) << headings({"AP", "AP50", "AP75", "AR1", "AR10", "HOTA", "IDF1", "IDsw"});
  for (const CategoryAp& category : evaluation.ap.categories) {
    if (category.ap() < 0) continue;
    const auto found = identities.find(category.id);
    const IdentityMetrics identity = found == identities.end() ? IdentityMetrics{} : *found->second;
    out << left(nn::escaped(category.name), width)
        << percents({category.ap(), category.ap_at(0), category.ap_at(5), category.ar(0), category.ar(1)})
        << percents({identity.hota, identity.idf1}) << count(identity.id_switches) << "\n";
  }
}

Json number(double value) { return value < 0 ? Json(nullptr) : Json(value); }

Json to_json(const IdentityMetrics& metrics) {
  return {{"HOTA", number(metrics.hota)},
          {"DetA", number(metrics.det_a)},
          {"AssA", number(metrics.ass_a)},
          {"IDF1", number(metrics.idf1)},
          {"id_switches", metrics.id_switches},
          {"truth_masks", metrics.truth_masks},
          {"predicted_masks", metrics.predicted_masks}};
}

Json to_json(const CategoryAp& category) {
  return {{"id", category.id},
          {"name", category.name},
          {"AP", number(category.ap())},
          {"AP50", number(category.ap_at(0))},
          {"AP75", number(category.ap_at(5))},
          {"AR_1", number(category.ar(0))},
          {"AR_10", number(category.ar(1))},
          {"AR_100", number(category.ar(2))}};
}

}  // namespace

void print_evaluation(const Evaluation& evaluation, std::ostream& out) {
  const evaluation::VisAp& ap = evaluation.ap;
  const evaluation::TrackingMetrics& tracking = evaluation.tracking;
  out << evaluation.videos << " videos, " << evaluation.predictions << " predictions\n\n"
      << headings({"AP", "AP50", "AP75", "AR1", "AR10", "APs", "APm", "APl"})
      << percents({ap.ap, ap.ap50, ap.ap75, ap.ar1, ap.ar10, ap.ap_small, ap.ap_medium, ap.ap_large}) << "\n\n";
  char title[64];
  std::snprintf(title, sizeof title, "identities, score >= %g", tracking.min_score);
  constexpr size_t kTitle = 24;
  out << left(title, kTitle) << headings({"HOTA", "DetA", "AssA", "IDF1", "IDsw"})  //
      << left("any class", kTitle) << identity_line(tracking.class_agnostic) << "\n"
      << left("mean over classes", kTitle) << identity_line(tracking.class_mean) << "\n";
  if (ap.ap >= 0) print_categories(evaluation, out);
}

std::string evaluation_json(const Evaluation& evaluation) {
  constexpr const char* kNames[] = {"AP",   "AP50",  "AP75",   "AP_small", "AP_medium", "AP_large",
                                    "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"};
  const auto numbers = evaluation.ap.numbers();
  Json root = {{"videos", evaluation.videos}, {"predictions", evaluation.predictions}};
  for (size_t i = 0; i < numbers.size(); ++i) root[kNames[i]] = number(numbers[i]);
  root["tracking"] = {{"min_score", evaluation.tracking.min_score},
                      {"class_agnostic", to_json(evaluation.tracking.class_agnostic)},
                      {"class_mean", to_json(evaluation.tracking.class_mean)}};
  std::map<std::int64_t, const IdentityMetrics*> identities;
  for (const CategoryTracking& category : evaluation.tracking.categories) identities[category.id] = &category.metrics;
  root["categories"] = Json::array();
  for (const CategoryAp& category : evaluation.ap.categories) {
    Json entry = to_json(category);
    const auto found = identities.find(category.id);
    entry["tracking"] = found == identities.end() ? Json(nullptr) : to_json(*found->second);
    root["categories"].push_back(std::move(entry));
  }
  return root.dump(2) + "\n";
}

}  // namespace visage::cli
