#include "visage/tracking/detections.h"

#include "ops/track/class_score.h"
#include "tensor/transfer.h"
#include "visage/tracking/rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace visage::tracking {
namespace {

/// On the CPU, checked.
Tensor fetched(const char* name, const Tensor& x, std::int64_t rows, std::int64_t frame) {
  check<ShapeError>(x && x.rank() == 2 && x.is_contiguous() && (rows < 0 || x.size(0) == rows), "tracker: frame ",
                    frame, ": ", name, " must be contiguous [queries, channels]; got ", x ? x.size() : Dims{});
  check<DTypeError>(x.dtype() == DType::f32, "tracker: frame ", frame, ": ", name, " must be f32; got ", x.dtype());
  Tensor here = to_device(x, {});
  const float* values = here.data<float>();
  check(std::all_of(values, values + here.numel(), [](float value) { return std::isfinite(value); }), "tracker: frame ",
        frame, ": ", name, " has a value that is not finite; check the weights and the input");
  return here;
}

double length_of(std::span<const float> row) {
  return std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
}

/// Writes factor * x, or factor * x / |x|, into the columns of `out` from `column` on.
void place(const Tensor& x, double factor, Scale scale, const Tensor& out, std::int64_t column) {
  for (std::int64_t q = 0; q < x.size(0); ++q) {
    const std::span<const float> row = row_of(x, q);
    const double length = scale == Scale::unit ? length_of(row) : 1;
    float* to = out.data<float>() + q * out.size(1) + column;
    for (const float value : row) *to++ = length > 0 ? static_cast<float>(value * (factor / length)) : 0;
  }
}

Tensor chosen_embedding(const FrameQueries& queries, Embedding embedding, double alpha, Scale scale, std::int64_t rows,
                        std::int64_t frame) {
  struct Part {
    Tensor rows;
    double factor;
  };
  std::vector<Part> parts;
  if (embedding == Embedding::decoder) parts.push_back({fetched("decoder", queries.decoder, rows, frame), 1});
  const bool both = embedding == Embedding::both;
  if (both || embedding == Embedding::object)
    parts.push_back({fetched("object", queries.object, rows, frame), both ? std::sqrt(1 - alpha) : 1});
  if (both || embedding == Embedding::appearance)
    parts.push_back({fetched("appearance", queries.appearance, rows, frame), both ? std::sqrt(alpha) : 1});
  std::int64_t columns = 0;
  for (const Part& part : parts) columns += part.rows.size(1);
  Tensor out = Tensor::empty({rows, columns});
  columns = 0;
  for (const Part& part : parts) {
    place(part.rows, part.factor, scale, out, columns);
    columns += part.rows.size(1);
  }
  return out;
}

}  // namespace

Detections read_detections(const FrameQueries& queries, Embedding embedding, double alpha, Scale scale,
                           std::int64_t frame) {
  const Tensor logits = fetched("logits", queries.logits, -1, frame);
  const std::int64_t rows = logits.size(0), classes = logits.size(1) - 1;
  const Tensor scores = ops::max_class_score(logits);
  Detections detections{.embedding = chosen_embedding(queries, embedding, alpha, scale, rows, frame),
                        .scores = {scores.data<float>(), scores.data<float>() + rows},
                        .labels = {}};
  for (std::int64_t q = 0; q < rows; ++q) {
    const std::span<const float> real = row_of(logits, q).first(static_cast<std::size_t>(classes));
    detections.labels.push_back(static_cast<int>(std::ranges::max_element(real) - real.begin()));
  }
  return detections;
}

std::vector<int> best_first(std::span<const float> scores, double least) {
  std::vector<int> queries;
  for (int q = 0; q < static_cast<int>(scores.size()); ++q)
    if (scores[q] > least) queries.push_back(q);
  std::ranges::stable_sort(queries, [&](int a, int b) { return scores[a] > scores[b]; });
  return queries;
}

MaskOverlaps::MaskOverlaps(std::span<const ops::QueryMask> masks, std::size_t queries)
    : extents_(masks.begin(), masks.end()) {
  check<ShapeError>(masks.size() == queries, "tracker: the suppression of duplicates needs a mask for each of the ",
                    queries, " queries; got ", masks.size());
}

double MaskOverlaps::iou(int a, int b) const {
  const MaskExtent &first = extents_[a], &second = extents_[b];
  const std::int64_t shared = shared_pixels(first, second), together = first.area + second.area - shared;
  return together > 0 ? static_cast<double>(shared) / static_cast<double>(together) : 0;
}

bool MaskOverlaps::exceed(double most, int query, std::span<const int> others) const {
  return std::ranges::any_of(others, [&](int other) { return iou(query, other) > most; });
}

}  // namespace visage::tracking
