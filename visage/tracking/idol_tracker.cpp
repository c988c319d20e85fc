#include "visage/tracking/idol_tracker.h"

namespace visage::tracking {

void IdolTracker::remember(Memory& memory, const Sighting& sighting) const {
  const std::size_t kept = std::min<std::size_t>(memory.sightings.size(), config().memory - 1), n = kept + 1;
  std::vector<double> sum(sighting.embedding.size());
  double weights = 0;
  for (std::size_t i = 1; i <= n; ++i) {
    const Sighting& one = i == n ? sighting : memory.sightings[memory.sightings.size() - n + i];
    const double weight = one.score + static_cast<double>(i) / static_cast<double>(n);
    for (std::size_t d = 0; d < sum.size(); ++d) sum[d] += weight * one.embedding[d];
    weights += weight;
  }
  memory.embedding.clear();
  for (const double total : sum) memory.embedding.push_back(static_cast<float>(total / weights));
}

}  // namespace visage::tracking
