#include "visage/experiments/separation.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace visage::experiments {
namespace {

double cosine(const ObjectRows& rows, std::int64_t a, std::int64_t b) {
  double sum = 0;
  for (std::int64_t c = 0; c < rows.depth; ++c)
    sum += double{rows.values[a * rows.depth + c]} * double{rows.values[b * rows.depth + c]};
  return sum;
}

double mean_distance(const std::vector<double>& cosines) {
  double sum = 0;
  for (const double value : cosines) sum += 1 - value;
  return sum / static_cast<double>(cosines.size());
}

// Share of the pairs in which a value of `same` exceeds one of `other`; `other` ascends.
double share_above(const std::vector<double>& same, const std::vector<double>& other) {
  double above = 0;
  for (const double value : same) {
    const auto [first, last] = std::equal_range(other.begin(), other.end(), value);
    above += static_cast<double>(first - other.begin()) + static_cast<double>(last - first) / 2;
  }
  return above / (static_cast<double>(same.size()) * static_cast<double>(other.size()));
}

}  // namespace

void ObjectRows::add(const float* row, int object_index, int video_index) {
  double squares = 0;
  for (std::int64_t c = 0; c < depth; ++c) squares += double{row[c]} * double{row[c]};
  const auto scale = static_cast<float>(squares > 0 ? 1 / std::sqrt(squares) : 0);
  for (std::int64_t c = 0; c < depth; ++c) values.push_back(row[c] * scale);
  object.push_back(object_index);
  video.push_back(video_index);
}

Separation separation_of(const ObjectRows& rows) {
  Separation result;
  double silhouettes = 0, ordered = 0;
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    std::map<int, std::vector<double>> cosines;  // to the rows of every object of the video
    for (std::int64_t j = 0; j < rows.rows(); ++j)
      if (j != i && rows.video[j] == rows.video[i]) cosines[rows.object[j]].push_back(cosine(rows, i, j));
    const auto own = cosines.extract(rows.object[i]);
    if (own.empty() || cosines.empty()) continue;
    double nearest = INFINITY;
    std::vector<double> others;
    for (const auto& [object, values] : cosines) {
      nearest = std::min(nearest, mean_distance(values));
      others.insert(others.end(), values.begin(), values.end());
    }
    std::sort(others.begin(), others.end());
    const double within = mean_distance(own.mapped()), larger = std::max(within, nearest);
    silhouettes += larger > 0 ? (nearest - within) / larger : 0;
    ordered += share_above(own.mapped(), others);
    ++result.rows;
  }
  if (result.rows == 0) return result;
  result.silhouette = silhouettes / static_cast<double>(result.rows);
  result.ordered = ordered / static_cast<double>(result.rows);
  return result;
}

}  // namespace visage::experiments
