#pragma once
// Convolutions as operation graphs of cuDNN's backend: what tensor/cuda/cudnn.cpp executes, and what a test asks cuDNN
// about where there is no GPU. Includes cuDNN's headers; nothing else may.
#include "tensor/dtype.h"

#include <compare>
#include <cudnn.h>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace visage::cuda::cudnn {

/// Throws CudaError "cudnn, `what`: status, the library's last message" unless status is CUDNN_STATUS_SUCCESS.
void check(cudnnStatus_t status, const char* what);

/// Owns one object of the backend: set its attributes, then finalize it.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);
  Descriptor(Descriptor&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~Descriptor();

  cudnnBackendDescriptor_t raw() const { return raw_; }

  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                  const void* values);
  Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<std::int64_t>& values);
  Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<const Descriptor*>& values);
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    return set(name, std::vector<const Descriptor*>{&value});
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T& value) {
    return set(name, type, 1, &value);
  }
  void finalize(const char* what);
  /// The same, but tells instead of throwing.
  cudnnStatus_t try_finalize() { return cudnnBackendFinalize(raw_); }

 private:
  cudnnBackendDescriptor_t raw_ = nullptr;
};

enum class Pass : std::uint8_t { forward, data, weights };

/// A convolution of NHWC images with OHWI weights. The plan for it is chosen by this and the device alone.
struct Problem {
  Pass pass = Pass::forward;
  DType factors = DType::f32, result = DType::f32, bias = DType::f32;
  std::int64_t images = 0, height = 0, width = 0, in = 0;  // x
  std::int64_t out_height = 0, out_width = 0, out = 0;     // y
  std::int64_t kernel_height = 0, kernel_width = 0, stride = 1, padding = 0;
  bool has_bias = false, has_residual = false, has_relu = false;  // forward only
  bool tf32 = false, deterministic = true;
  std::int64_t alignment = 16;  // of every pointer, in bytes
  auto operator<=>(const Problem&) const = default;
};
std::string describe(const Problem& problem);

/// Names of the tensors in a plan. `first` and `second` are the factors in the order of the formula: x and weight; gy
/// and weight; x and gy.
struct Uid {
  static constexpr std::int64_t first = 1, second = 2, result = 3, bias = 4, residual = 5;
};

/// The finalized operation graph and the descriptors it is made of.
struct Graph {
  std::vector<Descriptor> parts;  // the graph is the last
  const Descriptor& graph() const { return parts.back(); }
};

/// `handle` may be null where only device properties are asked about.
Graph make_graph(const Problem& problem, cudnnHandle_t handle);

/// The engine configurations that cuDNN proposes for the graph, best first, without those that compute less exactly
/// than the problem asks for. The device is that of the graph's handle or, if given, the one that `properties`
/// describes.
std::vector<Descriptor> configurations(const Graph& graph, const Problem& problem, const Descriptor* properties);

/// A configuration made executable.
struct Plan {
  Descriptor plan, configuration;
  std::int64_t workspace;  // bytes
};

/// Null if the configuration turns out not to work on the device, given as above, or wants too large a workspace.
std::unique_ptr<Plan> make_plan(Descriptor configuration, cudnnHandle_t handle, const Descriptor* properties);

}  // namespace visage::cuda::cudnn
