#include "ops/preprocess/antialias.h"
#include "ops/preprocess/network_input_kernels.h"
#include "tensor/cpu/parallel.h"
#include "tensor/float16.h"

#include <algorithm>
#include <vector>

namespace visage::ops::network_input_detail {
namespace {

template <class T>
void normalise(const std::uint8_t* image, const Args& args) {
  const std::int64_t row = 3 * args.out.size[1], values = 3 * args.image_width;
  cpu::parallel_for(args.out.size[0], 32, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) {
      T* const to = args.out.as<T>() + y * row;
      const std::int64_t inside = y < args.image_height ? values : 0;
      const std::uint8_t* const rgb = image + y * values;
      for (std::int64_t i = 0; i < inside; ++i) store(to[i], (static_cast<float>(rgb[i]) - kMean[i % 3]) / kStd[i % 3]);
      std::fill(to + inside, to + row, T(0.f));
    }
  });
}

}  // namespace

void network_input_cpu(const Args& args) {
  const auto* image = args.frame.as<const std::uint8_t>();
  const ImageSize frame_size{args.frame.size[0], args.frame.size[1]}, image_size{args.image_height, args.image_width};
  std::vector<std::uint8_t> resized;
  if (frame_size != image_size) {
    resized.resize(3 * image_size.height * image_size.width);
    resize_antialiased(image, frame_size, resized.data(), image_size);
    image = resized.data();
  }
  if (args.out.dtype == DType::bf16) return normalise<BFloat16>(image, args);
  if (args.out.dtype == DType::f16) return normalise<Half>(image, args);
  normalise<float>(image, args);
}

}  // namespace visage::ops::network_input_detail
