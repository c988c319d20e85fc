#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace visage::experiments {

struct TsneOptions {
  double perplexity = 30;  // neighbours that count, about
  std::int64_t iterations = 1000;
  std::uint64_t seed = 1;
};

/// Points in the plane whose neighbourhoods are those of the rows: exact t-SNE (van der Maaten & Hinton, Visualizing
/// Data using t-SNE, JMLR 2008) by gradient descent with momentum, gains and early exaggeration. Time and memory grow
/// with the square of the number of rows. Equal input gives equal points, whatever the number of threads.
/// rows [N, depth]. throws UsageError for more than 5000 rows, or fewer than 3 perplexity + 1.
[[nodiscard]] std::vector<std::array<double, 2>> tsne(std::span<const float> rows, std::int64_t depth,
                                                      const TsneOptions& options = {});

}  // namespace visage::experiments
