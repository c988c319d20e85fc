// cuDNN on the host: the definition, in f64.
#include "tensor/cuda/cudnn.h"

#include "device_data.h"
#include "tensor/error.h"

#include <algorithm>
#include <initializer_list>

namespace visage::cuda::cudnn {
namespace {

/// Calls fn(x, weight, y) with the offsets of every product of a convolution.
template <class Fn>
void for_each_product(const Dims& x, const Dims& weight, const Dims& y, int stride, int padding, Fn&& fn) {
  const std::int64_t channels = x[3];
  for (std::int64_t n = 0; n < y[0]; ++n)
    for (std::int64_t r = 0; r < y[1]; ++r)
      for (std::int64_t q = 0; q < y[2]; ++q)
        for (std::int64_t i = 0; i < weight[1]; ++i)
          for (std::int64_t j = 0; j < weight[2]; ++j) {
            const std::int64_t row = r * stride + i - padding, column = q * stride + j - padding;
            if (row < 0 || row >= x[1] || column < 0 || column >= x[2]) continue;
            const std::int64_t pixel = ((n * x[1] + row) * x[2] + column) * channels;
            const std::int64_t out = ((n * y[1] + r) * y[2] + q) * y[3];
            for (std::int64_t o = 0; o < y[3]; ++o) {
              const std::int64_t kernel = ((o * weight[1] + i) * weight[2] + j) * channels;
              for (std::int64_t c = 0; c < channels; ++c) fn(pixel + c, kernel + c, out + o);
            }
          }
}

void store_all(const View& to, const std::vector<double>& values) {
  for (std::size_t i = 0; i < values.size(); ++i)
    simt::store(to, static_cast<std::int64_t>(i), static_cast<float>(values[i]));
}

std::vector<double> zeros(const View& view) { return std::vector<double>(static_cast<std::size_t>(view.size.numel())); }

void convolve(const Convolution& a) {
  const std::vector<float> x = simt::dense(a.x), weight = simt::dense(a.weight);
  std::vector<double> y = zeros(a.y);
  for_each_product(a.x.size, a.weight.size, a.y.size, a.stride, a.padding,
                   [&](std::int64_t i, std::int64_t w, std::int64_t o) { y[o] += double{x[i]} * double{weight[w]}; });
  const auto out = static_cast<std::size_t>(a.y.size[3]);
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (a.bias) y[i] += simt::load(a.bias, static_cast<std::int64_t>(i % out));
    if (a.beta != 0) y[i] += simt::load(a.y, static_cast<std::int64_t>(i));
    if (a.activation == Activation::relu) y[i] = std::max(y[i], 0.0);
  }
  store_all(a.y, y);
}

void check_arguments(std::initializer_list<const View*> views) {
  for (const View* view : views) {
    check<ShapeError>(view->size.rank == 4 && view->stride == contiguous_strides(view->size),
                      "cudnn: tensors must be contiguous and have four axes; size ", view->size);
    simt::check_view("cudnnBackendExecute", *view);
  }
}

}  // namespace

// Like the library, this knows results of another type than the factors, and residuals, only for some shapes: those
// with a multiple of eight input channels. So both ways of the op are taken.
bool run(const Convolution& a, StreamHandle stream) {
  if (a.y.size.numel() == 0) return true;
  check_arguments({&a.x, &a.weight, &a.y});
  check<DTypeError>(a.x.dtype == a.weight.dtype && (!a.bias || a.bias.dtype == a.x.dtype), "cudnn: factors are ",
                    a.x.dtype, " and ", a.weight.dtype);
  const bool plain = a.y.dtype == a.x.dtype && a.beta == 0;
  if (!plain && a.x.size[3] % 8 != 0) return false;
  if (a.bias) simt::check_view("cudnnBackendExecute", a.bias);
  simt::enqueue_host_work(stream.raw, [a] { convolve(a); });
  return true;
}

bool run(const ConvolutionBackwardData& a, StreamHandle stream) {
  check_arguments({&a.gy, &a.weight, &a.gx});
  if (a.gx.dtype != a.gy.dtype) return false;
  simt::enqueue_host_work(stream.raw, [a] {
    const std::vector<float> gy = simt::dense(a.gy), weight = simt::dense(a.weight);
    std::vector<double> gx = zeros(a.gx);
    for_each_product(
        a.gx.size, a.weight.size, a.gy.size, a.stride, a.padding,
        [&](std::int64_t i, std::int64_t w, std::int64_t o) { gx[i] += double{gy[o]} * double{weight[w]}; });
    store_all(a.gx, gx);
  });
  return true;
}

bool run(const ConvolutionBackwardWeights& a, StreamHandle stream) {
  check_arguments({&a.x, &a.gy, &a.gweight});
  if (a.gweight.dtype != a.x.dtype) return false;
  simt::enqueue_host_work(stream.raw, [a] {
    const std::vector<float> x = simt::dense(a.x), gy = simt::dense(a.gy);
    std::vector<double> gweight = zeros(a.gweight);
    for_each_product(
        a.x.size, a.gweight.size, a.gy.size, a.stride, a.padding,
        [&](std::int64_t i, std::int64_t w, std::int64_t o) { gweight[w] += double{x[i]} * double{gy[o]}; });
    store_all(a.gweight, gweight);
  });
  return true;
}

void set_autotune(bool) {}

}  // namespace visage::cuda::cudnn
