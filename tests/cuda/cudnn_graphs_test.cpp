// Asks cuDNN, without a GPU, which kernels it has for the convolutions of the detector with ResNet-50 on devices that
// it is only told about. What it answers here is not what it would time best there, but a graph without any kernel
// would have none on the device either.
#include "tensor/cuda/cudnn_graph.h"
#include "tests/cuda/device_properties.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace visage {
namespace {

using cuda::cudnn::Descriptor;
using cuda::cudnn::Pass;
using cuda::cudnn::Problem;

#if CUDNN_VERSION >= 90800

Descriptor device(const std::string& properties) {
  Descriptor result(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  result
      .set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, static_cast<std::int64_t>(properties.size()),
           properties.data())
      .finalize("device properties");
  return result;
}

/// Whether there is a kernel: the proposals, and one of them as a plan, which cuDNN also makes without the device.
bool has_kernel(const Problem& problem, const Descriptor& device) {
  for (Descriptor& configuration : configurations(make_graph(problem, nullptr), problem, &device))
    if (make_plan(std::move(configuration), nullptr, &device)) return true;
  return false;
}

/// Every convolution of the detector once: inference on one frame with its fused epilogue.
std::set<Problem> layers(std::int64_t height, std::int64_t width) {
  std::set<Problem> result;
  const auto add = [&](std::int64_t step, std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                       bool bias, bool residual, bool relu) {
    Problem p;
    p.images = 1, p.height = height / step, p.width = width / step, p.in = in, p.out = out;
    p.kernel_height = p.kernel_width = kernel, p.stride = stride, p.padding = kernel / 2;
    p.out_height = (p.height - 1) / stride + 1, p.out_width = (p.width - 1) / stride + 1;
    p.has_bias = bias, p.has_residual = residual, p.has_relu = relu;
    result.insert(p);
  };
  add(1, 3, 64, 7, 2, true, false, true);
  std::int64_t in = 64, step = 4;
  for (int stage = 0; stage < 4; ++stage) {
    const std::int64_t width_inside = 64 << stage, out = 4 * width_inside;
    const int stride = stage ? 2 : 1;
    add(step, in, width_inside, 1, 1, true, false, true);
    add(step, in, out, 1, stride, true, false, false);
    add(step, width_inside, width_inside, 3, stride, true, false, true);
    step *= stride;
    add(step, out, width_inside, 1, 1, true, false, true);
    add(step, width_inside, width_inside, 3, 1, true, false, true);
    add(step, width_inside, out, 1, 1, true, true, true);
    in = out;
  }
  for (int level = 0; level < 3; ++level) add(8 << level, 512 << level, 256, 1, 1, true, false, false);
  add(4, 256, 256, 1, 1, false, false, false);
  add(4, 256, 256, 1, 1, true, false, false);
  add(4, 256, 256, 3, 1, false, false, false);
  return result;
}

class CudnnGraphs : public testing::TestWithParam<const char*> {};

TEST_P(CudnnGraphs, HasFusedKernelsForInference) {
  const Descriptor gpu = device(GetParam());
  for (Problem p : layers(480, 864)) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      p.factors = p.result = p.bias = dtype;
      EXPECT_TRUE(has_kernel(p, gpu)) << describe(p);
    }
    p.factors = p.result = p.bias = DType::f32;
    p.tf32 = true;
    EXPECT_TRUE(has_kernel(p, gpu)) << describe(p);
  }
}

TEST_P(CudnnGraphs, HasKernelsWithFixedOrderForTraining) {
  const Descriptor gpu = device(GetParam());
  for (Problem p : layers(640, 768)) {
    p.images = 16;
    p.has_bias = p.has_residual = p.has_relu = false;
    for (const DType dtype : {DType::f32, DType::bf16}) {
      p.factors = p.result = dtype;
      for (const Pass pass : {Pass::forward, Pass::data, Pass::weights}) {
        p.pass = pass;
        EXPECT_TRUE(has_kernel(p, gpu)) << describe(p);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Gpu, CudnnGraphs, testing::Values(test::kA100, test::kH200),
                         [](const auto& name) { return name.param == test::kA100 ? "sm_80" : "sm_90"; });

// Else the answers above would mean nothing.
TEST(CudnnGraphs, HasNoneForADeviceItDoesNotKnow) {
  std::string old = test::kA100;
  old.replace(old.find("800"), 3, "700");
  Problem p = *layers(480, 864).begin();
  p.factors = p.result = p.bias = DType::bf16;
  EXPECT_FALSE(has_kernel(p, device(old)));
}

#else

TEST(CudnnGraphs, AreAskedWithoutADevice) { GTEST_SKIP() << "cuDNN 9.8 or later is needed, this is " << CUDNN_VERSION; }

#endif

}  // namespace
}  // namespace visage
