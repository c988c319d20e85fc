// cuBLASLt on the host: the definition, in f64.
#include "tensor/cuda/cublas.h"

#include "device_data.h"
#include "tensor/error.h"

#include <algorithm>

namespace visage::cuda::cublas {
namespace {

/// The [rows, columns] of item `i` of a batch, row-major.
std::vector<float> item_of(const View& view, std::int64_t i) {
  const std::int64_t rows = view.size[-2], columns = view.size[-1];
  const std::int64_t start = view.size.rank == 3 ? i * view.stride[0] : 0;
  std::vector<float> values(static_cast<std::size_t>(rows * columns));
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c)
      values[static_cast<std::size_t>(r * columns + c)] =
          simt::load(view, start + r * view.stride[-2] + c * view.stride[-1]);
  return values;
}

void multiply(const Product& args) {
  const std::int64_t inner = args.a.size[-1], columns = args.y.size[-1];
  const std::int64_t batch = args.y.size.rank == 3 ? args.y.size[0] : 1;
  for (std::int64_t i = 0; i < batch; ++i) {
    const std::vector<float> a = item_of(args.a, i), b = item_of(args.b, i);
    const std::int64_t start = args.y.size.rank == 3 ? i * args.y.stride[0] : 0;
    for (std::int64_t r = 0; r < args.y.size[-2]; ++r) {
      for (std::int64_t c = 0; c < columns; ++c) {
        const float* const row = a.data() + r * inner;
        const float* const column = b.data() + c * inner;
        double sum = args.bias ? simt::load(args.bias, c) : 0.f;
        for (std::int64_t k = 0; k < inner; ++k) sum += double{row[k]} * double{column[k]};
        const std::int64_t at = start + r * args.y.stride[-2] + c;
        if (args.beta != 0) sum += double{args.beta} * double{simt::load(args.y, at)};
        if (args.activation == Activation::relu) sum = std::max(sum, 0.0);
        simt::store(args.y, at, static_cast<float>(sum));
      }
    }
  }
}

/// What the library accepts: a leading dimension for one of the last two axes.
bool has_leading_dimension(const View& v) {
  const std::int64_t rows = v.size[-2], columns = v.size[-1];
  const bool by_rows = (v.stride[-1] == 1 || columns == 1) && (v.stride[-2] >= columns || rows == 1);
  return by_rows || ((v.stride[-2] == 1 || rows == 1) && (v.stride[-1] >= rows || columns == 1));
}

}  // namespace

void run(const Product& args, StreamHandle stream) {
  if (args.y.size.numel() == 0) return;
  check<ShapeError>(has_leading_dimension(args.a) && has_leading_dimension(args.b) &&
                        (args.y.stride[-1] == 1 || args.y.size[-1] == 1),
                    "cublas: one of the last two axes must be contiguous; a ", args.a.stride, ", b ", args.b.stride,
                    ", y ", args.y.stride);
  check<ShapeError>(args.a.size[-1] > 0 && args.a.size[-1] == args.b.size[-1] && args.y.size[-2] == args.a.size[-2] &&
                        args.y.size[-1] == args.b.size[-2],
                    "cublas: y must be [M,N] = [M,K] * [N,K]^T; a ", args.a.size, ", b ", args.b.size, ", y ",
                    args.y.size);
  check<DTypeError>(args.a.dtype == args.b.dtype && (!args.bias || args.bias.dtype == args.y.dtype) &&
                        (args.y.dtype == DType::f32 || args.y.dtype == args.a.dtype),
                    "cublas: no product of ", args.a.dtype, " and ", args.b.dtype, " into ", args.y.dtype);
  for (const View* view : {&args.a, &args.b, &args.bias, &args.y}) simt::check_view("cublasLtMatmul", *view);
  simt::enqueue_host_work(stream.raw, [args] { multiply(args); });
}

}  // namespace visage::cuda::cublas
