#include "visage/experiments/tsne.h"

#include "tensor/cpu/parallel.h"
#include "tensor/error.h"
#include "visage/pseudo/random.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace visage::experiments {
namespace {

using Points = std::vector<std::array<double, 2>>;

constexpr std::int64_t kMostRows = 5000;
constexpr std::int64_t kEarlyIterations = 250;
constexpr double kExaggeration = 12;  // in the early iterations
constexpr double kLeastRate = 10;     // 50, as others have it, throws some of 60 points far away for good

// A square matrix with zeros on the diagonal.
struct Matrix {
  explicit Matrix(std::int64_t rows) : n(rows), values(static_cast<std::size_t>(rows * rows)) {}
  double* row(std::int64_t i) { return values.data() + i * n; }
  const double* row(std::int64_t i) const { return values.data() + i * n; }

  std::int64_t n;
  std::vector<double> values;
};

template <class F>
void for_each_row(std::int64_t rows, F&& fn) {
  cpu::parallel_for(rows, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) fn(i);
  });
}

Matrix squared_distances(std::span<const float> rows, std::int64_t depth) {
  Matrix distances(std::ssize(rows) / depth);
  for_each_row(distances.n, [&](std::int64_t i) {
    for (std::int64_t j = 0; j < distances.n; ++j) {
      double sum = 0;
      for (std::int64_t c = 0; c < depth; ++c) {
        const double difference = double{rows[i * depth + c]} - double{rows[j * depth + c]};
        sum += difference * difference;
      }
      distances.row(i)[j] = sum;
    }
  });
  return distances;
}

// p_{j|i} with the precision beta for which the entropy of the row is log(perplexity), by bisection; overwrites the
// row of distances.
void neighbour_probabilities(double* row, std::int64_t n, std::int64_t self, double perplexity) {
  const std::vector<double> distance(row, row + n);
  double nearest = INFINITY;
  for (std::int64_t j = 0; j < n; ++j)
    if (j != self) nearest = std::min(nearest, distance[j]);
  double beta = 1, low = 0, high = INFINITY;
  for (int step = 0; step < 64; ++step) {
    double sum = 0, weighted = 0;
    for (std::int64_t j = 0; j < n; ++j) {
      row[j] = j == self ? 0 : std::exp(-beta * (distance[j] - nearest));
      sum += row[j];
      weighted += row[j] * (distance[j] - nearest);
    }
    for (std::int64_t j = 0; j < n; ++j) row[j] /= sum;
    const double entropy = std::log(sum) + beta * weighted / sum;
    if (std::abs(entropy - std::log(perplexity)) < 1e-6) return;
    (entropy > std::log(perplexity) ? low : high) = beta;
    beta = std::isinf(high) ? beta * 2 : (low + high) / 2;
  }
}

// p_ij = (p_{j|i} + p_{i|j}) / 2N
Matrix joint_probabilities(std::span<const float> rows, std::int64_t depth, double perplexity) {
  Matrix p = squared_distances(rows, depth);
  for_each_row(p.n, [&](std::int64_t i) { neighbour_probabilities(p.row(i), p.n, i, perplexity); });
  for (std::int64_t i = 0; i < p.n; ++i)
    for (std::int64_t j = 0; j < i; ++j)
      p.row(i)[j] = p.row(j)[i] = std::max((p.row(i)[j] + p.row(j)[i]) / (2 * static_cast<double>(p.n)), 1e-12);
  return p;
}

// Normal deviates of deviation 1e-4 (Box and Muller).
Points first_points(std::int64_t count, std::uint64_t seed) {
  pseudo::Random random(seed, 0);
  Points points(static_cast<std::size_t>(count));
  for (auto& point : points) {
    const double radius = 1e-4 * std::sqrt(-2 * std::log(1 - random.uniform()));
    const double angle = 2 * std::numbers::pi * random.uniform();
    point = {radius * std::cos(angle), radius * std::sin(angle)};
  }
  return points;
}

// dC/dy_i = 4 sum_j (exaggeration p_ij - q_ij) w_ij (y_i - y_j),  w_ij = 1 / (1 + |y_i - y_j|^2),  q_ij = w_ij / sum w
Points gradient(const Matrix& p, const Points& y, double exaggeration, Matrix& w) {
  std::vector<double> sums(y.size());
  for_each_row(p.n, [&](std::int64_t i) {
    double sum = 0;
    for (std::int64_t j = 0; j < p.n; ++j) {
      const double dx = y[i][0] - y[j][0], dy = y[i][1] - y[j][1];
      w.row(i)[j] = j == i ? 0 : 1 / (1 + dx * dx + dy * dy);
      sum += w.row(i)[j];
    }
    sums[i] = sum;
  });
  const double total = std::accumulate(sums.begin(), sums.end(), 0.0);
  Points gy(y.size());
  for_each_row(p.n, [&](std::int64_t i) {
    double gx0 = 0, gx1 = 0;
    for (std::int64_t j = 0; j < p.n; ++j) {
      const double weight = w.row(i)[j];
      const double force = 4 * (exaggeration * p.row(i)[j] - weight / total) * weight;
      gx0 += force * (y[i][0] - y[j][0]);
      gx1 += force * (y[i][1] - y[j][1]);
    }
    gy[i] = {gx0, gx1};
  });
  return gy;
}

void centre(Points& points) {
  std::array<double, 2> mean{};
  for (const auto& point : points)
    for (int d = 0; d < 2; ++d) mean[d] += point[d] / static_cast<double>(points.size());
  for (auto& point : points)
    for (int d = 0; d < 2; ++d) point[d] -= mean[d];
}

}  // namespace

Points tsne(std::span<const float> rows, std::int64_t depth, const TsneOptions& options) {
  const std::int64_t n = std::ssize(rows) / depth;
  check<UsageError>(n <= kMostRows, "t-SNE: ", n, " points, more than ", kMostRows,
                    ", whose memory and time grow with the square; take fewer");
  check<UsageError>(options.perplexity > 1 && static_cast<double>(n) >= 3 * options.perplexity + 1, "t-SNE: ", n,
                    " points are too few for perplexity ", options.perplexity, ", which needs three times as many");
  const Matrix p = joint_probabilities(rows, depth, options.perplexity);
  const double rate = std::max(static_cast<double>(n) / kExaggeration / 4, kLeastRate);
  Matrix w(n);
  Points y = first_points(n, options.seed), velocity(y.size()), gains(y.size(), {1, 1});
  for (std::int64_t step = 0; step < options.iterations; ++step) {
    const bool early = step < kEarlyIterations;
    const double momentum = early ? 0.5 : 0.8;
    const Points gy = gradient(p, y, early ? kExaggeration : 1, w);
    for (std::int64_t i = 0; i < n; ++i) {
      for (int d = 0; d < 2; ++d) {  // a coordinate that keeps its direction goes faster
        const bool onward = (gy[i][d] > 0) != (velocity[i][d] > 0);
        gains[i][d] = std::max(onward ? gains[i][d] + 0.2 : gains[i][d] * 0.8, 0.01);
        velocity[i][d] = momentum * velocity[i][d] - rate * gains[i][d] * gy[i][d];
        y[i][d] += velocity[i][d];
      }
    }
    centre(y);
  }
  return y;
}

}  // namespace visage::experiments
