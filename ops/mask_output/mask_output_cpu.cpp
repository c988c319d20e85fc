#include "ops/attention/sigmoid_threshold.h"
#include "ops/mask_output/mask_output_kernels.h"
#include "ops/resize/bilinear.h"
#include "ops/simd/pack_bits.h"
#include "ops/simd/vec8.h"
#include "tensor/cpu/parallel.h"

#include <algorithm>
#include <vector>

namespace visage::ops {
namespace {

std::int64_t blocks_of(std::int64_t count) { return (count + kMaskBlock - 1) / kMaskBlock; }

void resample(const AxisTaps& taps, const float* in, std::int64_t first, std::int64_t last, float* out) {
  for (std::int64_t i = first * kMaskBlock; i < last * kMaskBlock; ++i)
    out[i] = (1 - taps.weight[i]) * in[taps.lower[i]] + taps.weight[i] * in[taps.upper[i]];
}

void positive_bits(const float* x, std::int64_t count, std::uint64_t* words, std::int64_t at) {
  for (std::int64_t i = 0; i < count; i += 64, at += 64) {
    const std::uint64_t bits = pack_bits(x + i, std::min<std::int64_t>(64, count - i), [](float e) { return e > 0; });
    if (!bits) continue;
    const std::int64_t shift = at % 64;
    words[at / 64] |= bits << shift;
    if (shift && bits >> (64 - shift)) words[at / 64 + 1] |= bits >> (64 - shift);
  }
}

void quality(const float* x, std::int64_t count, double* sum, std::int64_t* above) {
  constexpr float kLog2E = 1.44269504f;
  Vec8 total{};
  Mask8 number{};
  const auto add = [&](const Vec8& value) {
    const Mask8 is_above = value >= kLeastAboveHalf;
    const Vec8 t = -kLog2E * value;
    const Vec8 sigmoid = 1.f / (1.f + exp2_nonpositive(t < 0.f ? t : Vec8{}));
    total += is_above ? sigmoid : Vec8{};
    number -= is_above;
  };
  std::int64_t i = 0;
  for (; i + kVec8 <= count; i += kVec8) add(load8(x + i));
  float rest[kVec8] = {};
  std::copy(x + i, x + count, rest);
  add(load8(rest));
  *sum += static_cast<double>(sum8(total));
  for (int lane = 0; lane < kVec8; ++lane) *above += number[lane];
}

/// Taps of `used` output pixels of a resizing in -> full (a crop keeps the first ones), and which outputs an input
/// reaches.
struct Axis {
  std::vector<std::int32_t> lower, upper;
  std::vector<float> weight;
  std::vector<std::uint8_t> narrow;
  std::vector<std::int64_t> first_of, last_of;  // per input: blocks [first, last) that read it
  std::int64_t in, out;

  Axis(std::int64_t in_size, std::int64_t full, std::int64_t used)
      : first_of(in_size), last_of(in_size), in(in_size), out(used) {
    for (std::int64_t i = 0; i < blocks_of(used) * kMaskBlock; ++i) {
      const BilinearTap tap = bilinear_tap(std::min(i, used - 1), in_size, full);
      lower.push_back(tap.lower);
      upper.push_back(tap.upper);
      weight.push_back(tap.weight);
    }
    for (std::int64_t i = 0; i < std::ssize(lower); i += kMaskBlock)
      narrow.push_back(upper[i + kMaskBlock - 1] - lower[i] < kMaskBlock);
    for (std::int64_t y = 0; y < in_size; ++y) {
      first_of[y] = (std::lower_bound(upper.begin(), upper.end(), y) - upper.begin()) / kMaskBlock;
      last_of[y] = blocks_of(std::upper_bound(lower.begin(), lower.end(), y) - lower.begin());
    }
  }
  AxisTaps taps() const { return {lower.data(), upper.data(), weight.data(), narrow.data(), in, out}; }
};

// Rows of a column that hold a positive value: [top, bottom].
struct Span {
  std::int64_t top, bottom;
  bool empty() const { return top > bottom; }
  friend Span operator|(const Span& a, const Span& b) { return {std::min(a.top, b.top), std::max(a.bottom, b.bottom)}; }
};

// All sizes of one call; the same for every query.
struct Plan {
  const MaskOutputArgs& args;
  const ColumnKernels& kernels;
  Axis image_y, image_x;    // logits -> image
  Axis output_y, output_x;  // image -> output
  bool same_size;           // image and output
  std::int64_t height, width;

  Plan(const MaskOutputArgs& given, const ColumnKernels& loops)
      : args(given),
        kernels(loops),
        image_y(given.logits.size[1], given.padded_height, given.image_height),
        image_x(given.logits.size[2], given.padded_width, given.image_width),
        output_y(given.image_height, given.output_height, given.output_height),
        output_x(given.image_width, given.output_width, given.output_width),
        same_size(given.image_height == given.output_height && given.image_width == given.output_width),
        height(given.logits.size[1]),
        width(given.logits.size[2]) {}
};

// One query: the logits transposed, so that a column is contiguous. Both resizings are linear and separable: columns
// are blended at the low resolution, where they are short, and only the result is stretched vertically.
class Query {
 public:
  explicit Query(const Plan& plan)
      : plan_(plan),
        columns_(plan.height * plan.width),
        spans_(plan.width),
        blended_(plan.height + kMaskBlock),
        other_(plan.height + kMaskBlock),
        stretched_((blocks_of(plan.args.image_height) + 2) * kMaskBlock),
        final_((blocks_of(plan.args.output_height) + 2) * kMaskBlock) {}

  void run(const float* logits, MaskOutputRow& row) {
    transpose(logits);
    for (std::int64_t x = 0; x < plan_.args.image_width; ++x) measure(x, row);
    if (plan_.same_size) return;
    for (std::int64_t x = 0; x < plan_.args.output_width; ++x) draw(x, row);
  }

 private:
  void transpose(const float* logits) {
    for (std::int64_t x = 0; x < plan_.width; ++x) {
      Span span{plan_.height, -1};
      for (std::int64_t y = 0; y < plan_.height; ++y) {
        const float value = logits[y * plan_.width + x];
        columns_[x * plan_.height + y] = value;
        if (!(value > 0)) continue;
        span.top = std::min(span.top, y);
        span.bottom = y;
      }
      spans_[x] = span;
    }
  }

  // Column x of the image at the height of the logits.
  Span blend(std::int64_t x, std::vector<float>& to) {
    const Axis& axis = plan_.image_x;
    const float* left = columns_.data() + axis.lower[x] * plan_.height;
    const float* right = columns_.data() + axis.upper[x] * plan_.height;
    const float weight = axis.weight[x];
    for (std::int64_t y = 0; y < plan_.height; ++y) to[y] = (1 - weight) * left[y] + weight * right[y];
    return spans_[axis.lower[x]] | spans_[axis.upper[x]];
  }

  // Quality of image column x, and its bits when the image is the output.
  void measure(std::int64_t x, MaskOutputRow& row) {
    if ((spans_[plan_.image_x.lower[x]] | spans_[plan_.image_x.upper[x]]).empty()) return;
    const Span span = blend(x, blended_);
    const std::int64_t first = plan_.image_y.first_of[span.top], last = plan_.image_y.last_of[span.bottom];
    const std::int64_t at = first * kMaskBlock;
    const std::int64_t count = std::min(last * kMaskBlock, plan_.args.image_height) - at;
    if (count <= 0) return;
    plan_.kernels.resample(plan_.image_y.taps(), blended_.data(), first, last, stretched_.data());
    plan_.kernels.quality(stretched_.data() + at, count, &row.quality_sum, &row.quality_count);
    if (plan_.same_size)
      plan_.kernels.positive_bits(stretched_.data() + at, count, row.bits, x * plan_.args.output_height + at);
  }

  // Bits of output column x.
  void draw(std::int64_t x, MaskOutputRow& row) {
    const Axis& axis = plan_.output_x;
    const Span span = blend(axis.lower[x], blended_) | blend(axis.upper[x], other_);
    if (span.empty()) return;
    const float weight = axis.weight[x];
    for (std::int64_t y = 0; y < plan_.height; ++y) blended_[y] = (1 - weight) * blended_[y] + weight * other_[y];
    plan_.kernels.resample(plan_.image_y.taps(), blended_.data(), 0, blocks_of(plan_.args.image_height),
                           stretched_.data());
    plan_.kernels.resample(plan_.output_y.taps(), stretched_.data(), 0, blocks_of(plan_.args.output_height),
                           final_.data());
    plan_.kernels.positive_bits(final_.data(), plan_.args.output_height, row.bits, x * plan_.args.output_height);
  }

  const Plan& plan_;
  std::vector<float> columns_;
  std::vector<Span> spans_;
  std::vector<float> blended_, other_, stretched_, final_;
};

}  // namespace

const ColumnKernels& portable_column_kernels() {
  static constexpr ColumnKernels kernels{resample, positive_bits, quality};
  return kernels;
}

bool any_positive_cpu(const float* logits, std::int64_t count) {
  return std::any_of(logits, logits + count, [](float x) { return x > 0; });
}

void mask_output_cpu(const MaskOutputArgs& args, const ColumnKernels& kernels) {
  const Plan plan(args, kernels);
  cpu::parallel_for(args.logits.size[0], 1, [&](std::int64_t begin, std::int64_t end) {
    Query query(plan);
    for (std::int64_t q = begin; q < end; ++q)
      if (args.rows[q].bits) query.run(args.logits.as<float>() + q * plan.height * plan.width, args.rows[q]);
  });
}

}  // namespace visage::ops
