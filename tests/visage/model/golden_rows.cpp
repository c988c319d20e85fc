#include "tests/visage/model/golden_rows.h"

#include "ops/resize/resize.h"

#include <cmath>

namespace visage::test {
namespace {

constexpr float kBorderline = 5e-5f;  // the largest difference of two f32 implementations that was seen
constexpr double kSpill = 0.005;
constexpr double kMostOff = 0.03;

double element(const Tensor& t, std::int64_t i) {
  switch (t.dtype()) {
    case DType::f32: return t.data<float>()[i];
    case DType::i64: return static_cast<double>(t.data<std::int64_t>()[i]);
    default: fail<DTypeError>("rows_match: no support for ", t.dtype());
  }
}

}  // namespace

BorderlineRows::BorderlineRows(const DetectionTrace& trace, std::size_t heads, Masks masks)
    : queries_(trace.decoder.embeddings.size(1)), rows_(trace.decoder.embeddings.size(0) * queries_) {
  const auto& shapes = trace.pixel.shapes;
  for (std::size_t k = 0; k < heads; ++k) {
    const ops::LevelShape& level = shapes[k % shapes.size()];
    mark(trace.decoder.heads[k].mask_logits, level.height, level.width);
  }
  if (masks == Masks::attention_and_pooling)
    for (int stage = 1; stage < 4; ++stage)
      mark(trace.decoder.heads.back().mask_logits, trace.backbone[stage].size(1), trace.backbone[stage].size(2));
}

void BorderlineRows::mark(const Tensor& mask_logits, std::int64_t height, std::int64_t width) {
  const Tensor resized = ops::resize_bilinear_planes(mask_logits, height, width);
  for (std::int64_t i = 0; i < resized.numel(); ++i)
    if (std::abs(resized.data<float>()[i]) < kBorderline) rows_[i / (height * width)] = true;
}

bool BorderlineRows::frame(std::int64_t frame) const {
  for (std::int64_t q = 0; q < queries_; ++q)
    if (row(frame, q)) return true;
  return false;
}

testing::AssertionResult rows_match(const GoldenFile& golden, const std::string& name, const Tensor& got,
                                    const RowOf& row_of, const BorderlineRows& borderline) {
  const testing::AssertionResult strict = golden.matches(name, got);
  const GoldenTensor& want = golden.at(name);
  if (strict || !(got.size() == want.full_size)) return strict;
  const double bound = 20 * want.f32_error + 1e-6;
  std::int64_t off = 0;
  for (std::int64_t i = 0; i < want.values.numel(); ++i) {
    const double difference = std::abs(element(got, i * want.step) - element(want.values, i));
    if (difference <= bound) continue;
    const RowIndex at = row_of(i * want.step);
    const bool explained = borderline.row(at.frame, at.query) || (borderline.frame(at.frame) && difference <= kSpill);
    if (!explained || std::isnan(difference)) return strict;
    ++off;
  }
  if (static_cast<double>(off) <= kMostOff * static_cast<double>(want.values.numel()))
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << strict.message() << "; more than flipped mask bits explain";
}

RowOf frame_major(const Dims& size) {
  const std::int64_t queries = size[1], inner = size.numel() / size[0] / size[1];
  return [=](std::int64_t i) { return RowIndex{i / inner / queries, i / inner % queries}; };
}

RowOf query_major(const Dims& size) {
  const std::int64_t frames = size[1], inner = size.numel() / size[0] / size[1];
  return [=](std::int64_t i) { return RowIndex{i / inner % frames, i / inner / frames}; };
}

}  // namespace visage::test
