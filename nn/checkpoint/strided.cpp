#include "nn/checkpoint/strided.h"

#include "tensor/float16.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace visage::nn {
namespace {

constexpr std::int64_t kBufferBytes = 1 << 18;

/// Calls run(offset, count, stride) for every row along the last axis, in row-major order; offsets in elements.
template <class Run>
void for_each_row(const View& view, Run run) {
  if (view.size.numel() == 0) return;
  const int outer_rank = std::max(view.size.rank - 1, 0);
  const std::int64_t count = view.size.rank ? view.size[-1] : 1;
  const std::int64_t stride = view.size.rank ? view.stride[-1] : 1;
  std::int64_t index[kMaxRank] = {};
  std::int64_t offset = 0;
  while (true) {
    run(offset, count, stride);
    int axis = outer_rank - 1;
    for (; axis >= 0; --axis) {
      offset += view.stride.d[axis];
      if (++index[axis] < view.size.d[axis]) break;
      offset -= view.stride.d[axis] * view.size.d[axis];
      index[axis] = 0;
    }
    if (axis < 0) return;
  }
}

template <class T>
void convert(const View& source, float* target) {
  const T* data = source.as<T>();
  for_each_row(source, [&](std::int64_t offset, std::int64_t count, std::int64_t stride) {
    const T* row = data + offset;
    for (std::int64_t i = 0; i < count; ++i) target[i] = static_cast<float>(row[i * stride]);
    target += count;
  });
}

void convert_bool(const View& source, float* target) {
  const std::uint8_t* data = source.as<std::uint8_t>();
  for_each_row(source, [&](std::int64_t offset, std::int64_t count, std::int64_t stride) {
    for (std::int64_t i = 0; i < count; ++i) *target++ = data[offset + i * stride] ? 1.f : 0.f;
  });
}

template <int Bytes>
void gather(char* target, const char* source, std::int64_t count, std::int64_t stride) {
  for (std::int64_t i = 0; i < count; ++i) std::memcpy(target + i * Bytes, source + i * stride * Bytes, Bytes);
}

void gather(char* target, const char* source, std::int64_t count, std::int64_t stride, std::int64_t element) {
  switch (element) {
    case 1: return gather<1>(target, source, count, stride);
    case 2: return gather<2>(target, source, count, stride);
    case 4: return gather<4>(target, source, count, stride);
    default: return gather<8>(target, source, count, stride);
  }
}

}  // namespace

void copy_to_f32(const View& source, float* target) {
  switch (source.dtype) {
    case DType::f32: return convert<float>(source, target);
    case DType::f16: return convert<Half>(source, target);
    case DType::bf16: return convert<BFloat16>(source, target);
    case DType::f64: return convert<double>(source, target);
    case DType::i32: return convert<std::int32_t>(source, target);
    case DType::i64: return convert<std::int64_t>(source, target);
    case DType::u8: return convert<std::uint8_t>(source, target);
    case DType::boolean: return convert_bool(source, target);
  }
}

void stream_contiguous(const View& source, const std::function<void(std::string_view)>& sink) {
  if (source.size.numel() == 0) return;
  const auto element = static_cast<std::int64_t>(size_of(source.dtype));
  const char* data = source.as<char>();
  if (source.stride == contiguous_strides(source.size)) {
    sink({data, static_cast<std::size_t>(source.size.numel() * element)});
    return;
  }
  std::vector<char> buffer(kBufferBytes);
  std::int64_t filled = 0;
  for_each_row(source, [&](std::int64_t offset, std::int64_t count, std::int64_t stride) {
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t step = std::min(count - done, (kBufferBytes - filled) / element);
      gather(buffer.data() + filled, data + (offset + done * stride) * element, step, stride, element);
      done += step;
      filled += step * element;
      if (filled + element <= kBufferBytes) continue;
      sink({buffer.data(), static_cast<std::size_t>(filled)});
      filled = 0;
    }
  });
  if (filled) sink({buffer.data(), static_cast<std::size_t>(filled)});
}

}  // namespace visage::nn
