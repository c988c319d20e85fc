#include "tests/support/allclose.h"
#include "tests/support/golden.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <limits>

namespace visage::test {
namespace {

TEST(GoldenFile, ReadsCompleteTensorsInTheirType) {
  const GoldenFile file("ops.safetensors");
  const GoldenTensor& x = file.at("layernorm/in/x");
  EXPECT_TRUE(x.complete());
  EXPECT_EQ(x.values.size(), x.full_size);
  EXPECT_EQ(x.values.dtype(), DType::f32);
  EXPECT_TRUE(file.matches("layernorm/in/x", x.values));
  EXPECT_EQ(file.names("layernorm/in/").size(), 3u);
}

TEST(GoldenFile, ComparesSubsetsWithTheFullTensor) {
  const GoldenFile file("forward_clip6.safetensors");
  for (const std::string& name : file.names()) {
    const GoldenTensor& want = file.at(name);
    if (want.complete()) continue;
    std::vector<double> all(static_cast<std::size_t>(want.full_size.numel()), -7.);
    const std::vector<double> stored = values_of(want.values);
    for (std::size_t i = 0; i < stored.size(); ++i) all[i * static_cast<std::size_t>(want.step)] = stored[i];
    EXPECT_TRUE(file.matches(name, tensor_of(want.full_size, all, DType::f64)));
    all[static_cast<std::size_t>(want.step)] += 20 * want.f32_error + 1e-3;
    EXPECT_FALSE(file.matches(name, tensor_of(want.full_size, all, DType::f64)));
    EXPECT_THROW(file.load(name), InputError);
  }
}

TEST(GoldenFile, RefusesUnknownNamesAndFiles) {
  EXPECT_THROW(GoldenFile("no_such.safetensors"), InputError);
  EXPECT_THROW(load_golden("ops.safetensors", "no/such/tensor"), InputError);
}

TEST(Allclose, AcceptsRoundingAndRefusesMore) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const Tensor want = random_normal({3, 5}, 1);
    EXPECT_TRUE(allclose(converted(want, dtype), want)) << name_of(dtype);
    std::vector<double> off = values_of(want);
    off[7] += 0.1;
    EXPECT_FALSE(allclose(tensor_of({3, 5}, off, dtype), want)) << name_of(dtype);
  }
}

TEST(Allclose, NanAndInfinityMustMatchInPosition) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> want = {1, nan, infinity};
  EXPECT_TRUE(allclose(tensor_of({3}, want), tensor_of({3}, want)));
  EXPECT_FALSE(allclose(tensor_of({3}, std::vector<double>{nan, 1, infinity}), tensor_of({3}, want)));
  EXPECT_FALSE(allclose(tensor_of({3}, std::vector<double>{1, nan, -infinity}), tensor_of({3}, want)));
  EXPECT_FALSE(allclose(tensor_of({1, 3}, want), tensor_of({3}, want)));
}

}  // namespace
}  // namespace visage::test
