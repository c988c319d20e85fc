#include "tensor/cuda/cudnn_graph.h"

#include "tensor/error.h"

#include <array>

namespace visage::cuda::cudnn {
namespace {

using Sizes = std::vector<std::int64_t>;

constexpr std::int64_t kMostWorkspace = std::int64_t{1} << 30;

// Attributes of cuDNN 9.8 and later, by number so that earlier headers compile; earlier libraries refuse them.
constexpr auto kHeuristicsDevice = static_cast<cudnnBackendAttributeName_t>(204);
constexpr auto kPlanDevice = static_cast<cudnnBackendAttributeName_t>(407);

cudnnDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f32: return CUDNN_DATA_FLOAT;
    case DType::bf16: return CUDNN_DATA_BFLOAT16;
    case DType::f16: return CUDNN_DATA_HALF;
    default: fail<DTypeError>("cudnn: no support for ", dtype);
  }
}

/// cuDNN names the axes N, C, H, W; the strides say that the channels lie together.
Descriptor make_tensor(std::int64_t uid, DType dtype, const Sizes& nhwc, std::int64_t alignment, bool is_virtual) {
  const std::int64_t n = nhwc[0], h = nhwc[1], w = nhwc[2], c = nhwc[3];
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, uid)
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type_of(dtype))
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, {n, c, h, w})
      .set(CUDNN_ATTR_TENSOR_STRIDES, {h * w * c, 1, w * c, c})
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, alignment)
      .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, is_virtual)
      .finalize("tensor");
  return tensor;
}

Descriptor make_convolution(const Problem& p) {
  const Sizes padding{p.padding, p.padding}, stride{p.stride, p.stride}, dilation{1, 1};
  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, std::int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, padding)
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, padding)
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, dilation)
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, stride)
      .finalize("convolution");
  return convolution;
}

/// The kind of operation of a pass and what it calls its parts.
struct Names {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t convolution, first, second, result, alpha, beta;
};
Names names_of(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case Pass::data:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case Pass::weights: break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
}

/// Adds the descriptors of a graph one after the other, operations apart.
class Builder {
 public:
  explicit Builder(const Problem& problem) : p_(problem) { parts_.reserve(24); }

  Graph build(cudnnHandle_t handle) {
    const Sizes x{p_.images, p_.height, p_.width, p_.in}, y{p_.images, p_.out_height, p_.out_width, p_.out};
    const Sizes weight{p_.out, p_.kernel_height, p_.kernel_width, p_.in};
    const Descriptor& first = tensor(Uid::first, p_.factors, p_.pass == Pass::data ? y : x);
    const Descriptor& second = tensor(Uid::second, p_.factors, p_.pass == Pass::weights ? y : weight);
    const Sizes& result = p_.pass == Pass::forward ? y : p_.pass == Pass::data ? x : weight;
    left_ = p_.has_bias + p_.has_residual + p_.has_relu;
    const Descriptor* last = &next_result(result);
    convolve(first, second, *last);
    // The order in which cuDNN's ready-made fused kernels know these operations.
    if (p_.has_residual) last = &add(*last, tensor(Uid::residual, p_.result, y), y);
    if (p_.has_bias) last = &add(*last, tensor(Uid::bias, p_.bias, {1, 1, 1, p_.out}), y);
    if (p_.has_relu) rectify(*last, y);
    Descriptor& graph = parts_.emplace_back(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (handle) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle);
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations_).finalize("operation graph");
    return {std::move(parts_)};
  }

 private:
  const Descriptor& tensor(std::int64_t uid, DType dtype, const Sizes& size, bool is_virtual = false) {
    // One element of the bias may stand anywhere; it is read by broadcasting.
    return parts_.emplace_back(make_tensor(uid, dtype, size, p_.alignment, is_virtual));
  }

  /// What the next operation writes: an f32 value that never reaches memory, or the result.
  const Descriptor& next_result(const Sizes& size) {
    constexpr std::int64_t kFirstVirtual = 100;
    if (left_-- == 0) return tensor(Uid::result, p_.result, size);
    return tensor(kFirstVirtual + left_, DType::f32, size, true);
  }

  void convolve(const Descriptor& first, const Descriptor& second, const Descriptor& result) {
    const Names names = names_of(p_.pass);
    const Descriptor& convolution = parts_.emplace_back(make_convolution(p_));
    const double one = 1, zero = 0;
    Descriptor& operation = parts_.emplace_back(names.operation);
    operation.set(names.convolution, convolution)
        .set(names.first, first)
        .set(names.second, second)
        .set(names.result, result)
        .set(names.alpha, CUDNN_TYPE_DOUBLE, one)
        .set(names.beta, CUDNN_TYPE_DOUBLE, zero)
        .finalize("convolution operation");
    operations_.push_back(&operation);
  }

  Descriptor& pointwise(cudnnPointwiseMode_t mode, const Descriptor& from, const Descriptor* other,
                        const Descriptor& to) {
    Descriptor& kind = parts_.emplace_back(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    kind.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode)
        .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
        .finalize("pointwise");
    Descriptor& operation = parts_.emplace_back(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind)
        .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, from)
        .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to);
    if (other) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *other);
    operation.finalize("pointwise operation");
    operations_.push_back(&operation);
    return operation;
  }

  const Descriptor& add(const Descriptor& from, const Descriptor& other, const Sizes& size) {
    const Descriptor& to = next_result(size);
    pointwise(CUDNN_POINTWISE_ADD, from, &other, to);
    return to;
  }

  void rectify(const Descriptor& from, const Sizes& size) {
    pointwise(CUDNN_POINTWISE_RELU_FWD, from, nullptr, next_result(size));
  }

  const Problem& p_;
  std::vector<Descriptor> parts_;  // never reallocated: operations and the callers above point into it
  std::vector<const Descriptor*> operations_;
  int left_ = 0;  // operations after the current one
};

template <class T>
std::vector<T> read_notes(const Descriptor& engine, cudnnBackendAttributeName_t name,
                          cudnnBackendAttributeType_t type) {
  std::array<T, 16> notes{};
  std::int64_t count = 0;
  check(
      cudnnBackendGetAttribute(engine.raw(), name, type, static_cast<std::int64_t>(notes.size()), &count, notes.data()),
      "notes of an engine");
  return {notes.begin(), notes.begin() + count};
}

/// Whether an engine computes as exactly, and as repeatably, as is asked for.
bool is_exact_enough(const Descriptor& configuration, const Problem& p) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t raw = engine.raw();
  std::int64_t count = 0;
  check(cudnnBackendGetAttribute(configuration.raw(), CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                 &count, &raw),
        "engine of a configuration");
  for (const cudnnBackendNumericalNote_t note :
       read_notes<cudnnBackendNumericalNote_t>(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE)) {
    if (note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION) return false;
    if (note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC && p.deterministic) return false;
    // f32 factors reach tensor cores only as TF32 or less.
    const bool rounds = note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS || note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    if (rounds && p.factors == DType::f32 && !p.tf32) return false;
  }
  return true;
}

}  // namespace

void check(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) [[likely]]
    return;
  std::array<char, 512> message{};
  cudnnGetLastErrorString(message.data(), message.size());
  fail<CudaError>("cudnn, ", what, ": ", cudnnGetErrorString(status), message[0] ? ", " : "", message.data());
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  check(cudnnBackendCreateDescriptor(type, &raw_), "create");
}

Descriptor::~Descriptor() {
  if (raw_) cudnnBackendDestroyDescriptor(raw_);
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                            const void* values) {
  check(cudnnBackendSetAttribute(raw_, name, type, count, values), "set attribute");
  return *this;
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const std::vector<std::int64_t>& values) {
  return set(name, CUDNN_TYPE_INT64, static_cast<std::int64_t>(values.size()), values.data());
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const std::vector<const Descriptor*>& values) {
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const Descriptor* value : values) raw.push_back(value->raw());
  return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(raw.size()), raw.data());
}

void Descriptor::finalize(const char* what) { check(cudnnBackendFinalize(raw_), what); }

std::string describe(const Problem& p) {
  std::ostringstream text;
  const char* const names[] = {"convolution", "data gradient of the convolution", "weight gradient of the convolution"};
  text << names[static_cast<int>(p.pass)] << " of " << p.factors << '[' << p.images << ", " << p.height << ", "
       << p.width << ", " << p.in << "] with " << p.out << " kernels " << p.kernel_height << 'x' << p.kernel_width
       << ", stride " << p.stride << ", padding " << p.padding << ", into " << p.result << (p.has_bias ? ", bias" : "")
       << (p.has_residual ? ", residual" : "") << (p.has_relu ? ", relu" : "") << (p.tf32 ? ", TF32" : "");
  return text.str();
}

Graph make_graph(const Problem& problem, cudnnHandle_t handle) { return Builder(problem).build(handle); }

std::vector<Descriptor> configurations(const Graph& graph, const Problem& problem, const Descriptor* properties) {
  std::vector<Descriptor> result;
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.graph())
        .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
    if (properties) heuristics.set(kHeuristicsDevice, *properties);
    if (heuristics.try_finalize() != CUDNN_STATUS_SUCCESS) continue;  // no engine of this kind at all
    std::int64_t most = 0, count = 0;
    check(cudnnBackendGetAttribute(heuristics.raw(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0,
                                   &most, nullptr),
          "number of configurations");
    std::vector<Descriptor> proposed;
    std::vector<cudnnBackendDescriptor_t> raw;
    for (std::int64_t i = 0; i < most; ++i)
      raw.push_back(proposed.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).raw());
    check(cudnnBackendGetAttribute(heuristics.raw(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, most,
                                   &count, raw.data()),
          "configurations");
    for (std::int64_t i = 0; i < count; ++i)
      if (is_exact_enough(proposed[i], problem)) result.push_back(std::move(proposed[i]));
  }
  return result;
}

std::unique_ptr<Plan> make_plan(Descriptor configuration, cudnnHandle_t handle, const Descriptor* properties) {
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
  if (handle) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle);
  if (properties) plan.set(kPlanDevice, *properties);
  if (plan.try_finalize() != CUDNN_STATUS_SUCCESS) return nullptr;
  std::int64_t workspace = 0, count = 0;
  check(cudnnBackendGetAttribute(plan.raw(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count,
                                 &workspace),
        "workspace of a plan");
  if (workspace > kMostWorkspace) return nullptr;
  return std::make_unique<Plan>(Plan{std::move(plan), std::move(configuration), workspace});
}

}  // namespace visage::cuda::cudnn
