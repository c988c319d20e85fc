#include "cli/suggest.h"

#include "visage/config/edit_distance.h"

namespace visage::cli {
std::string nearest(std::string_view name, std::span<const std::string> candidates) {
  std::string best;
  std::size_t least = name.size() / 2 + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = config::edit_distance(name, candidate);
    if (distance >= least) continue;
    least = distance;
    best = candidate;
  }
  return best;
}

}  // namespace visage::cli
