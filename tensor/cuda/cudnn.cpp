#include "tensor/cuda/cudnn.h"

#include "tensor/cuda/cudnn_graph.h"
#include "tensor/cuda/determinism.h"
#include "tensor/cuda/device.h"
#include "tensor/cuda/precision.h"
#include "tensor/cuda/stream.h"
#include "tensor/error.h"
#include "tensor/tensor.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

namespace visage::cuda::cudnn {
namespace {

constexpr std::size_t kMostPlans = 4096;  // a network at one input size needs about 200 with its gradients
constexpr std::size_t kPlansToTime = 8;   // of those cuDNN proposes, best first
constexpr int kTimedRuns = 3;

std::atomic<bool>& autotune() {
  static std::atomic<bool> on = [] {
    const char* const text = std::getenv("VISAGE_CUDNN_AUTOTUNE");
    return text && std::string_view(text) == "1";
  }();
  return on;
}

struct Argument {
  std::int64_t uid;
  void* data;
};
using Arguments = std::vector<Argument>;

/// The handle of one device and the plans made there.
class Context {
 public:
  explicit Context(int device) : device_{DeviceType::cuda, device} { check(cudnnCreate(&handle_), "create handle"); }

  bool run(const Problem& problem, const Arguments& arguments, StreamHandle stream) {
    // A handle serves one thread at a time.
    const std::lock_guard lock(mutex_);
    check(cudnnSetStream(handle_, static_cast<cudaStream_t>(stream.raw)), "set stream");
    auto found = plans_.find(problem);
    if (found == plans_.end()) {
      if (plans_.size() >= kMostPlans) plans_.clear();  // sizes keep changing: better to plan again than to grow
      found = plans_.emplace(problem, choose(problem, arguments, stream)).first;
    }
    if (!found->second) return false;
    execute(*found->second, arguments);
    return true;
  }

 private:
  std::unique_ptr<Plan> choose(const Problem& problem, const Arguments& arguments, StreamHandle stream) {
    const Graph graph = make_graph(problem, handle_);
    std::vector<std::unique_ptr<Plan>> candidates;
    const std::size_t wanted = autotune() ? kPlansToTime : 1;
    for (Descriptor& configuration : configurations(graph, problem, nullptr)) {
      if (auto plan = make_plan(std::move(configuration), handle_, nullptr)) candidates.push_back(std::move(plan));
      if (candidates.size() == wanted) break;
    }
    if (candidates.empty()) return nullptr;
    if (candidates.size() == 1) return std::move(candidates[0]);
    return fastest(candidates, problem, arguments, stream);
  }

  std::unique_ptr<Plan> fastest(std::vector<std::unique_ptr<Plan>>& candidates, const Problem& problem,
                                Arguments arguments, StreamHandle stream) {
    // Timed into memory of its own: the result may hold a residual that must be added once.
    const Tensor result = Tensor::empty({elements_of_result(problem)}, problem.result, device_);
    for (Argument& argument : arguments)
      if (argument.uid == Uid::result || argument.uid == Uid::residual) argument.data = result.view().data;
    std::size_t best = 0;
    float least = std::numeric_limits<float>::infinity();
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      execute(*candidates[i], arguments);  // loads the kernel
      Event start(Event::Timing::on), stop(Event::Timing::on);
      start.record(stream);
      for (int run = 0; run < kTimedRuns; ++run) execute(*candidates[i], arguments);
      stop.record(stream);
      stop.synchronize();
      if (const float time = stop.milliseconds_since(start); time < least) {
        least = time;
        best = i;
      }
    }
    return std::move(candidates[best]);
  }

  static std::int64_t elements_of_result(const Problem& p) {
    if (p.pass == Pass::forward) return p.images * p.out_height * p.out_width * p.out;
    if (p.pass == Pass::data) return p.images * p.height * p.width * p.in;
    return p.out * p.kernel_height * p.kernel_width * p.in;
  }

  void execute(const Plan& plan, const Arguments& arguments) {
    std::vector<std::int64_t> uids;
    std::vector<void*> pointers;
    for (const Argument& argument : arguments) {
      uids.push_back(argument.uid);
      pointers.push_back(argument.data);
    }
    const Tensor workspace = plan.workspace > 0 ? Tensor::empty({plan.workspace}, DType::u8, device_) : Tensor{};
    void* const scratch = workspace ? workspace.view().data : nullptr;
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, uids)
        .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, static_cast<std::int64_t>(pointers.size()),
             pointers.data())
        .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, scratch)
        .finalize("variant pack");
    check(cudnnBackendExecute(handle_, plan.plan.raw(), pack.raw()), "execute");
  }

  Device device_;
  cudnnHandle_t handle_ = nullptr;
  std::mutex mutex_;
  std::map<Problem, std::unique_ptr<Plan>> plans_;  // null: there is none
};

/// Made at the first convolution on a device; never destroyed, since the driver may be gone before static objects are.
Context& context(int device) {
  static std::mutex mutex;
  static auto& contexts = *new std::map<int, std::unique_ptr<Context>>;
  const std::lock_guard lock(mutex);
  std::unique_ptr<Context>& found = contexts[device];
  if (!found) found = std::make_unique<Context>(device);
  return *found;
}

Problem problem_of(Pass pass, const View& x, const View& weight, const View& y, int stride, int padding) {
  for (const View* view : {&x, &weight, &y}) {
    visage::check<ShapeError>(view->size.rank == 4 && view->stride == contiguous_strides(view->size),
                              "cudnn: tensors must be contiguous and have four axes; size ", view->size, ", stride ",
                              view->stride);
  }
  Problem p;
  p.pass = pass;
  p.images = x.size[0], p.height = x.size[1], p.width = x.size[2], p.in = x.size[3];
  p.out_height = y.size[1], p.out_width = y.size[2], p.out = y.size[3];
  p.kernel_height = weight.size[1], p.kernel_width = weight.size[2];
  p.stride = stride, p.padding = padding;
  p.factors = pass == Pass::data ? weight.dtype : x.dtype;
  p.result = pass == Pass::forward ? y.dtype : pass == Pass::data ? x.dtype : weight.dtype;
  p.tf32 = p.factors == DType::f32 && matrix_precision() == MatrixPrecision::tf32;
  p.deterministic = deterministic();
  return p;
}

bool run_problem(Problem problem, const Arguments& arguments, StreamHandle stream) {
  for (const Argument& argument : arguments) {
    const auto address = reinterpret_cast<std::uintptr_t>(argument.data);
    problem.alignment = std::min(problem.alignment, static_cast<std::int64_t>(address & (~address + 1)));
  }
  return context(current_device()).run(problem, arguments, stream);
}

}  // namespace

bool run(const Convolution& a, StreamHandle stream) {
  if (a.y.size.numel() == 0) return true;
  Problem problem = problem_of(Pass::forward, a.x, a.weight, a.y, a.stride, a.padding);
  problem.has_bias = static_cast<bool>(a.bias);
  if (a.bias) problem.bias = a.bias.dtype;
  problem.has_residual = a.beta != 0;
  problem.has_relu = a.activation == Activation::relu;
  Arguments arguments{{Uid::first, a.x.data}, {Uid::second, a.weight.data}, {Uid::result, a.y.data}};
  if (a.bias) arguments.push_back({Uid::bias, a.bias.data});
  if (a.beta != 0) arguments.push_back({Uid::residual, a.y.data});
  return run_problem(problem, arguments, stream);
}

bool run(const ConvolutionBackwardData& a, StreamHandle stream) {
  if (a.gx.size.numel() == 0) return true;
  return run_problem(problem_of(Pass::data, a.gx, a.weight, a.gy, a.stride, a.padding),
                     {{Uid::first, a.gy.data}, {Uid::second, a.weight.data}, {Uid::result, a.gx.data}}, stream);
}

bool run(const ConvolutionBackwardWeights& a, StreamHandle stream) {
  if (a.gweight.size.numel() == 0) return true;
  return run_problem(problem_of(Pass::weights, a.x, a.gweight, a.gy, a.stride, a.padding),
                     {{Uid::first, a.x.data}, {Uid::second, a.gy.data}, {Uid::result, a.gweight.data}}, stream);
}

void set_autotune(bool on) { autotune() = on; }

}  // namespace visage::cuda::cudnn
