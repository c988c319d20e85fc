#include "ops/resize/bilinear.h"
#include "ops/resize/resize_kernels.h"
#include "tensor/cpu/parallel.h"
#include "tensor/float16.h"

#include <algorithm>
#include <vector>

namespace visage::ops {
namespace {

constexpr std::int64_t kGrain = 16 * 1024;  // elements worth starting a thread for

std::vector<BilinearTap> taps(std::int64_t in_size, std::int64_t out_size) {
  std::vector<BilinearTap> result(out_size);
  for (std::int64_t i = 0; i < out_size; ++i) result[i] = bilinear_tap(i, in_size, out_size);
  return result;
}

// Calls fn(null pointer of the element type) for f32 or bf16.
template <class F>
void with_type(DType dtype, F&& fn) {
  if (dtype == DType::f32)
    fn(static_cast<float*>(nullptr));
  else
    fn(static_cast<BFloat16*>(nullptr));
}

struct Corners {
  float top_left, top_right, bottom_left, bottom_right;
};

Corners corner_weights(const BilinearTap& y, const BilinearTap& x) {
  return {(1 - y.weight) * (1 - x.weight), (1 - y.weight) * x.weight, y.weight * (1 - x.weight), y.weight * x.weight};
}

// out[c] = (kAdd ? out[c] : 0) + the four weighted corners.
template <bool kAdd, class In, class Out>
void blend(const In* a, const In* b, const In* c, const In* d, const Corners& w, Out* out, std::int64_t channels) {
  for (std::int64_t i = 0; i < channels; ++i) {
    const float sum = w.top_left * static_cast<float>(a[i]) + w.top_right * static_cast<float>(b[i]) +
                      w.bottom_left * static_cast<float>(c[i]) + w.bottom_right * static_cast<float>(d[i]);
    store(out[i], kAdd ? static_cast<float>(out[i]) + sum : sum);
  }
}

template <bool kAdd, class In, class Out>
void resize(const ResizeArgs& args) {
  const View& in = args.x;
  const View& out = args.out;
  const std::int64_t height = out.size[1], width = out.size[2], channels = out.size[3];
  const auto tap_y = taps(in.size[1], height), tap_x = taps(in.size[2], width);
  cpu::parallel_for(out.size[0] * height, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t n = row / height, y = row % height;
      const In* image = in.as<In>() + n * in.stride[0];
      const In* top = image + tap_y[y].lower * in.stride[1];
      const In* bottom = image + tap_y[y].upper * in.stride[1];
      Out* to = out.as<Out>() + n * out.stride[0] + y * out.stride[1];
      for (std::int64_t x = 0; x < width; ++x) {
        const std::int64_t left = tap_x[x].lower * in.stride[2], right = tap_x[x].upper * in.stride[2];
        blend<kAdd>(top + left, top + right, bottom + left, bottom + right, corner_weights(tap_y[y], tap_x[x]),
                    to + x * out.stride[2], channels);
      }
    }
  });
}

template <class T>
void pool(const PoolCenterArgs& args) {
  const View& in = args.x;
  const View& out = args.out;
  const std::int64_t height = out.size[1], width = out.size[2], channels = out.size[3];
  const std::int64_t first = args.ratio / 2 - 1;
  cpu::parallel_for(out.size[0] * height, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t n = row / height, y = row % height;
      const T* top = in.as<T>() + n * in.stride[0] + (y * args.ratio + first) * in.stride[1] + first * in.stride[2];
      const T* bottom = top + in.stride[1];
      T* to = out.as<T>() + n * out.stride[0] + y * out.stride[1];
      for (std::int64_t x = 0; x < width; ++x) {
        const std::int64_t left = x * args.ratio * in.stride[2], right = left + in.stride[2];
        blend<false>(top + left, top + right, bottom + left, bottom + right, {0.25f, 0.25f, 0.25f, 0.25f},
                     to + x * out.stride[2], channels);
      }
    }
  });
}

// The output indices that read an input index, with their weights. The backward gathers by it, so that every row of the
// gradient has one writer.
class Readers {
 public:
  struct Reader {
    std::int64_t index;
    float weight;
  };

  Readers(std::int64_t in_size, std::int64_t out_size) : readers_(in_size) {
    const auto all = taps(in_size, out_size);
    for (std::int64_t i = 0; i < out_size; ++i) {
      readers_[all[i].lower].push_back({i, 1 - all[i].weight});
      if (all[i].weight != 0) readers_[all[i].upper].push_back({i, all[i].weight});
    }
  }
  const std::vector<Reader>& of(std::int64_t index) const { return readers_[index]; }

 private:
  std::vector<std::vector<Reader>> readers_;
};

}  // namespace

void resize_bilinear_cpu(const ResizeArgs& args) { resize<false, float, float>(args); }

void resize_bilinear_planes_cpu(const ResizeArgs& args) {
  const std::int64_t height = args.out.size[1], width = args.out.size[2];
  const std::int64_t in_height = args.x.size[1], in_width = args.x.size[2];
  const auto tap_y = taps(in_height, height), tap_x = taps(in_width, width);
  cpu::parallel_for(args.out.size[0] * height, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const BilinearTap tap = tap_y[row % height];
      const float* plane = args.x.as<float>() + row / height * in_height * in_width;
      const float* top = plane + tap.lower * in_width;
      const float* bottom = plane + tap.upper * in_width;
      float* to = args.out.as<float>() + row * width;
      for (std::int64_t x = 0; x < width; ++x) {
        const auto [left, right, weight] = tap_x[x];
        to[x] = (1 - tap.weight) * ((1 - weight) * top[left] + weight * top[right]) +
                tap.weight * ((1 - weight) * bottom[left] + weight * bottom[right]);
      }
    }
  });
}

void resize_bilinear_backward_cpu(const ResizeBackwardArgs& args) {
  const View& in = args.gx.to;
  const View& out = args.gout;
  const std::int64_t in_height = in.size[1], in_width = in.size[2], channels = in.size[3];
  const std::int64_t height = out.size[1], width = out.size[2];
  const Readers readers(in_height, height);
  const auto tap_x = taps(in_width, width);
  const std::int64_t grain = std::max<std::int64_t>(kGrain / (width * channels), 1);
  cpu::parallel_for(in.size[0] * in_height, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> blended(width * channels);
    for (std::int64_t row = begin; row < end; ++row) {
      float* to = in.as<float>() + row * in_width * channels;
      if (args.gx.beta == 0) std::fill_n(to, in_width * channels, 0.f);
      std::fill(blended.begin(), blended.end(), 0.f);
      for (const auto& [y, weight] : readers.of(row % in_height)) {
        const float* from = out.as<float>() + (row / in_height * height + y) * width * channels;
        for (std::int64_t i = 0; i < width * channels; ++i) blended[i] += weight * from[i];
      }
      for (std::int64_t x = 0; x < width; ++x) {
        const float* from = blended.data() + x * channels;
        float* left = to + tap_x[x].lower * channels;
        float* right = to + tap_x[x].upper * channels;
        const float weight = tap_x[x].weight;
        for (std::int64_t c = 0; c < channels; ++c) left[c] += (1 - weight) * from[c];
        for (std::int64_t c = 0; c < channels; ++c) right[c] += weight * from[c];
      }
    }
  });
}

void upsample2x_add_cpu(const ResizeArgs& args) {
  with_type(args.x.dtype, [&](auto* in) {
    with_type(args.out.dtype, [&](auto* out) {
      resize<true, std::remove_pointer_t<decltype(in)>, std::remove_pointer_t<decltype(out)>>(args);
    });
  });
}

void pool_center_cpu(const PoolCenterArgs& args) {
  with_type(args.x.dtype, [&](auto* type) { pool<std::remove_pointer_t<decltype(type)>>(args); });
}

}  // namespace visage::ops
