#include "tests/support/allclose.h"

#include "tests/support/values.h"

#include <algorithm>
#include <cmath>

namespace visage::test {
namespace {

double ulp(DType dtype) {
  switch (dtype) {
    case DType::f32: return 0x1p-23;
    case DType::f16: return 0x1p-10;
    case DType::bf16: return 0x1p-7;
    case DType::f64: return 0x1p-52;
    default: return 0;
  }
}

double rms(const std::vector<double>& values) {
  double sum = 0;
  std::int64_t count = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    sum += value * value;
    ++count;
  }
  return count ? std::sqrt(sum / static_cast<double>(count)) : 0;
}

/// Position of element `flat` as text, e.g. [0, 2, 17].
Dims position_of(std::int64_t flat, const Dims& size) {
  Dims index = size;
  for (int i = size.rank; i-- > 0;) {
    index[i] = flat % size[i];
    flat /= size[i];
  }
  return index;
}

bool bad(double got, double want, double bound) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) != std::isnan(got);
  if (std::isinf(want) || std::isinf(got)) return got != want;
  return std::abs(got - want) > bound;
}

}  // namespace

testing::AssertionResult allclose(const Tensor& got, const Tensor& want, const Tolerance& tolerance) {
  if (!got || !want) return testing::AssertionFailure() << (got ? "the reference" : "the result") << " is empty";
  if (!(got.size() == want.size())) {
    return testing::AssertionFailure() << "size " << got.size() << ", expected " << want.size();
  }
  const std::vector<double> a = values_of(got);
  const std::vector<double> b = values_of(want);
  const double floor = 8 * std::sqrt(static_cast<double>(std::max<std::int64_t>(tolerance.reduced, 1))) *
                           (ulp(got.dtype()) > 0 ? ulp(DType::f32) * rms(b) : 0) +
                       tolerance.absolute;
  std::vector<std::size_t> failures;
  std::size_t worst = 0;
  double worst_excess = -1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double bound = 2 * ulp(got.dtype()) * std::abs(b[i]) + floor;
    if (!bad(a[i], b[i], bound)) continue;
    const double difference = std::isfinite(a[i] - b[i]) ? std::abs(a[i] - b[i]) : HUGE_VAL;
    if (difference > worst_excess) worst = i, worst_excess = difference;
    failures.push_back(i);
  }
  if (failures.empty()) return testing::AssertionSuccess();
  auto result = testing::AssertionFailure();
  const auto line = [&](std::size_t i) -> testing::AssertionResult& {
    return result << "\n  " << position_of(static_cast<std::int64_t>(i), got.size()) << ": got " << a[i]
                  << ", expected " << b[i] << ", difference " << a[i] - b[i] << ", allowed "
                  << 2 * ulp(got.dtype()) * std::abs(b[i]) + floor;
  };
  result << failures.size() << " of " << a.size() << " elements of " << got.dtype() << ' ' << got.size()
         << " differ; the worst:";
  line(worst);
  result << "\nthe first:";
  for (std::size_t i = 0; i < std::min<std::size_t>(failures.size(), 5); ++i) line(failures[i]);
  return result;
}

}  // namespace visage::test
