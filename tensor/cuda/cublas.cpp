#include "tensor/cuda/cublas.h"

#include "tensor/cuda/device.h"
#include "tensor/cuda/precision.h"
#include "tensor/error.h"
#include "tensor/tensor.h"

#include <algorithm>
#include <array>
#include <cublasLt.h>
#include <map>
#include <memory>
#include <mutex>

namespace visage::cuda::cublas {
namespace {

void check(cublasStatus_t status, const char* what, std::source_location at = std::source_location::current()) {
  visage::check<CudaError>(status == CUBLAS_STATUS_SUCCESS, {what, at}, ": ", cublasLtGetStatusName(status), ", ",
                           cublasLtGetStatusString(status));
}

cudaDataType_t type_of(const View& view) {
  switch (view.dtype) {
    case DType::f32: return CUDA_R_32F;
    case DType::bf16: return CUDA_R_16BF;
    case DType::f16: return CUDA_R_16F;
    default: fail<DTypeError>("cublas: no support for ", view.dtype);
  }
}

/// One factor or the result as cuBLASLt, which counts in columns, sees it: a row-major [rows, columns] is a
/// column-major [columns, rows].
struct Matrix {
  bool row_major;
  std::int64_t rows, columns, pitch;
  std::int64_t batch, batch_stride;
  auto operator<=>(const Matrix&) const = default;
};

Matrix matrix_of(const View& view) {
  const std::int64_t rows = view.size[-2], columns = view.size[-1];
  const std::int64_t row_step = view.stride[-2], column_step = view.stride[-1];
  const bool batched = view.size.rank == 3;
  Matrix result{
      true, rows, columns, std::max(row_step, columns), batched ? view.size[0] : 1, batched ? view.stride[0] : 0};
  if ((column_step == 1 || columns == 1) && (row_step >= columns || rows == 1)) return result;
  visage::check<ShapeError>((row_step == 1 || rows == 1) && (column_step >= rows || columns == 1),
                            "cublas: one of the last two axes must be contiguous; size ", view.size, ", stride ",
                            view.stride);
  result.row_major = false;
  result.pitch = std::max(column_step, rows);
  return result;
}

class Layout {
 public:
  Layout(const View& view, const Matrix& m) {
    check(cublasLtMatrixLayoutInit(&raw_, type_of(view), m.row_major ? m.columns : m.rows,
                                   m.row_major ? m.rows : m.columns, m.pitch),
          "cublasLtMatrixLayoutInit");
    const auto batch = static_cast<std::int32_t>(m.batch);
    set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, batch);
    set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, m.batch_stride);
  }
  cublasLtMatrixLayout_t get() { return &raw_; }

 private:
  template <class T>
  void set(cublasLtMatrixLayoutAttribute_t attribute, const T& value) {
    check(cublasLtMatrixLayoutSetAttribute(&raw_, attribute, &value, sizeof value), "cublasLtMatrixLayoutSetAttribute");
  }
  cublasLtMatrixLayoutOpaque_t raw_;
};

class Description {
 public:
  Description(const Product& args, bool transpose_b, bool transpose_a) {
    const bool tf32 = args.a.dtype == DType::f32 && matrix_precision() == MatrixPrecision::tf32;
    check(cublasLtMatmulDescInit(&raw_, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "cublasLtMatmulDescInit");
    // y^T = b * a^T: what cuBLASLt calls A is b.
    set(CUBLASLT_MATMUL_DESC_TRANSA, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    const bool relu = args.activation == Activation::relu;
    if (args.bias) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(args.bias.data));
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(args.bias));
    } else if (relu) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_RELU);
    }
  }
  cublasLtMatmulDesc_t get() { return &raw_; }

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check(cublasLtMatmulDescSetAttribute(&raw_, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  }
  cublasLtMatmulDescOpaque_t raw_;
};

/// The power of two that divides the address, as far as the library cares. Nothing is aligned to everything.
std::uint32_t alignment_of(const View& view) {
  if (!view) return 256;
  const auto address = reinterpret_cast<std::uintptr_t>(view.data);
  return static_cast<std::uint32_t>(std::min<std::uintptr_t>(address & (~address + 1), 256));
}

/// What the choice of an algorithm depends on.
struct Key {
  Matrix a, b, y;
  std::array<std::uint32_t, 3> alignment;
  DType factors, result;
  bool has_bias, relu, adds, tf32;
  auto operator<=>(const Key&) const = default;
};

struct Preference {
  Preference() { check(cublasLtMatmulPreferenceCreate(&raw), "cublasLtMatmulPreferenceCreate"); }
  ~Preference() { cublasLtMatmulPreferenceDestroy(raw); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  template <class T>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
    check(cublasLtMatmulPreferenceSetAttribute(raw, attribute, &value, sizeof value),
          "cublasLtMatmulPreferenceSetAttribute");
  }
  cublasLtMatmulPreference_t raw = nullptr;
};

constexpr std::size_t kMostWorkspace = std::size_t{32} << 20;  // what NVIDIA recommends for Hopper
constexpr std::size_t kMostAlgorithms = 4096;                  // a network at one input size needs about 200

struct Choice {
  cublasLtMatmulAlgo_t algorithm;
  std::size_t workspace;
};

/// The handle of one device and the algorithms chosen there.
class Context {
 public:
  Context() { check(cublasLtCreate(&handle_), "cublasLtCreate"); }

  cublasLtHandle_t handle() const { return handle_; }

  Choice choose(const Key& key, Description& description, Layout& b, Layout& a, Layout& y) {
    const std::lock_guard lock(mutex_);
    if (const auto found = choices_.find(key); found != choices_.end()) return found->second;
    Preference preference;
    preference.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMostWorkspace);
    // Parts of a sum split over K are kept and added in f32, never in the type of the result.
    const std::uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    preference.set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, schemes);
    preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.alignment[1]);
    preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.alignment[0]);
    preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.alignment[2]);
    preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.alignment[2]);
    cublasLtMatmulHeuristicResult_t best{};
    int count = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handle_, description.get(), b.get(), a.get(), y.get(), y.get(), preference.raw,
                                         1, &best, &count),
          "cublasLtMatmulAlgoGetHeuristic");
    visage::check<CudaError>(count > 0, "cublas: no algorithm for the product of [", key.a.rows, ", ", key.a.columns,
                             "] and [", key.b.rows, ", ", key.b.columns, "]^T of ", key.factors, " into ", key.result);
    if (choices_.size() >= kMostAlgorithms) choices_.clear();  // sizes keep changing: better to ask again than to grow
    return choices_[key] = {best.algo, best.workspaceSize};
  }

 private:
  cublasLtHandle_t handle_ = nullptr;
  std::mutex mutex_;
  std::map<Key, Choice> choices_;
};

/// Made at the first product on a device; never destroyed, since the driver may be gone before static objects are.
Context& context(int device) {
  static std::mutex mutex;
  static auto& contexts = *new std::map<int, std::unique_ptr<Context>>;
  const std::lock_guard lock(mutex);
  std::unique_ptr<Context>& found = contexts[device];
  if (!found) found = std::make_unique<Context>();
  return *found;
}

}  // namespace

void run(const Product& args, StreamHandle stream) {
  if (args.y.size.numel() == 0) return;
  const Matrix a = matrix_of(args.a), b = matrix_of(args.b), y = matrix_of(args.y);
  visage::check<ShapeError>(y.row_major, "cublas: rows of the result must be contiguous; size ", args.y.size,
                            ", stride ", args.y.stride);
  visage::check<ShapeError>(a.columns > 0 && a.columns == b.columns && y.rows == a.rows && y.columns == b.rows,
                            "cublas: y must be [M,N] = [M,K] * [N,K]^T; a ", args.a.size, ", b ", args.b.size, ", y ",
                            args.y.size);
  const int device = current_device();
  Context& here = context(device);
  Description description(args, b.row_major, !a.row_major);
  Layout layout_a(args.a, a), layout_b(args.b, b), layout_y(args.y, y);
  const bool tf32 = args.a.dtype == DType::f32 && matrix_precision() == MatrixPrecision::tf32;
  const Key key{a,
                b,
                y,
                {alignment_of(args.a), alignment_of(args.b), std::min(alignment_of(args.y), alignment_of(args.bias))},
                args.a.dtype,
                args.y.dtype,
                static_cast<bool>(args.bias),
                args.activation == Activation::relu,
                args.beta != 0,
                tf32};
  const Choice choice = here.choose(key, description, layout_b, layout_a, layout_y);
  Tensor workspace;
  if (choice.workspace > 0) {
    workspace = Tensor::empty({static_cast<std::int64_t>(choice.workspace)}, DType::u8, {DeviceType::cuda, device});
  }
  const float alpha = 1;
  check(cublasLtMatmul(here.handle(), description.get(), &alpha, args.b.data, layout_b.get(), args.a.data,
                       layout_a.get(), &args.beta, args.y.data, layout_y.get(), args.y.data, layout_y.get(),
                       &choice.algorithm, workspace ? workspace.view().data : nullptr, choice.workspace,
                       static_cast<cudaStream_t>(stream.raw)),
        "cublasLtMatmul");
}

}  // namespace visage::cuda::cublas
