#include "visage/tracking/ctvis_tracker.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace visage::tracking {
namespace {

double product(const std::vector<float>& a, const std::vector<float>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  const double lengths = std::sqrt(product(a, a) * product(b, b));
  return lengths > 0 ? product(a, b) / lengths : 0;
}

}  // namespace

void CtvisTracker::remember(Memory& memory, const Sighting& sighting) const {
  if (memory.sightings.empty()) {
    memory.embedding = sighting.embedding;
    return;
  }
  double likeness = 0;
  for (const Sighting& earlier : memory.sightings) likeness += cosine(sighting.embedding, earlier.embedding);
  const double share = std::max(0.0, likeness / static_cast<double>(memory.sightings.size()));
  for (std::size_t d = 0; d < memory.embedding.size(); ++d)
    memory.embedding[d] = static_cast<float>((1 - share) * memory.embedding[d] + share * sighting.embedding[d]);
}

}  // namespace visage::tracking
