#include "ops/point_sample/corners.h"
#include "ops/point_sample/point_sample_kernels.h"
#include "tensor/cpu/parallel.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace visage::ops {
namespace {

constexpr std::int64_t kGrain = 4 * 1024;  // elements worth starting a thread for
constexpr std::int64_t kBlock = 64;        // channels of a task of the scatter

std::int64_t grain(std::int64_t elements) {
  return std::max<std::int64_t>(kGrain / std::max<std::int64_t>(elements, 1), 1);
}

// Corners of point p of image n in the grid of `image` [N,H,W,C].
bool corners_of(const View& points, const View& image, std::int64_t n, std::int64_t p, Corners& corners) {
  const float* at = points.as<float>() + n * points.stride[0] + 2 * p;
  return find_corners(at[0] * static_cast<float>(image.size[2]) - 0.5f,
                      at[1] * static_cast<float>(image.size[1]) - 0.5f, image.size[1], image.size[2], corners);
}

// kChannels 0: known at run time only.
template <class T, int kChannels>
void sample(const PointSampleArgs& args) {
  const std::int64_t area = args.features.size[1] * args.features.size[2], count = args.points.size[1];
  const std::int64_t channels = kChannels ? kChannels : args.features.size[3];
  cpu::parallel_for(args.features.size[0] * count, grain(channels), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / count;
      float* to = args.out.as<float>() + i * channels;
      std::fill_n(to, channels, 0.f);
      Corners corners;
      if (!corners_of(args.points, args.features, n, i % count, corners)) continue;
      for (int k = 0; k < 4; ++k) {
        if (corners.pixel[k] < 0) continue;
        const T* from = args.features.as<T>() + (n * area + corners.pixel[k]) * channels;
        const float weight = corners.weight(k);
        for (std::int64_t c = 0; c < channels; ++c) to[c] += weight * static_cast<float>(from[c]);
      }
    }
  });
}

template <class T>
void sample_type(const PointSampleArgs& args) {
  if (args.features.size[3] == 1)
    sample<T, 1>(args);
  else
    sample<T, 0>(args);
}

// A task owns a block of channels of one image, so every element has one writer.
template <int kChannels>
void scatter(const PointSampleBackwardArgs& args) {
  const View& to = args.gfeatures.to;
  const std::int64_t area = to.size[1] * to.size[2], count = args.points.size[1];
  const std::int64_t channels = kChannels ? kChannels : to.size[3], blocks = (channels + kBlock - 1) / kBlock;
  cpu::parallel_for(to.size[0] * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t n = task / blocks, first = task % blocks * kBlock;
      const std::int64_t width = kChannels ? kChannels : std::min(kBlock, channels - first);
      float* image = to.as<float>() + n * area * channels + first;
      if (args.gfeatures.beta == 0)
        for (std::int64_t i = 0; i < area; ++i) std::fill_n(image + i * channels, width, 0.f);
      for (std::int64_t p = 0; p < count; ++p) {
        Corners corners;
        if (!corners_of(args.points, to, n, p, corners)) continue;
        const float* from = args.gout.as<float>() + (n * count + p) * channels + first;
        for (int k = 0; k < 4; ++k) {
          if (corners.pixel[k] < 0) continue;
          const float weight = corners.weight(k);
          float* row = image + corners.pixel[k] * channels;
          for (std::int64_t c = 0; c < width; ++c) row[c] += weight * from[c];
        }
      }
    }
  });
}

void point_gradients(const PointSampleBackwardArgs& args) {
  const View& image = args.features;
  const std::int64_t area = image.size[1] * image.size[2], count = args.points.size[1], channels = image.size[3];
  cpu::parallel_for(image.size[0] * count, grain(channels), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float* g = args.gout.as<float>() + i * channels;
      float at[4] = {};  // g . features of each corner
      Corners corners{};
      if (corners_of(args.points, image, i / count, i % count, corners)) {
        for (int k = 0; k < 4; ++k) {
          if (corners.pixel[k] < 0) continue;
          const float* from = image.as<float>() + (i / count * area + corners.pixel[k]) * channels;
          for (std::int64_t c = 0; c < channels; ++c) at[k] += g[c] * from[c];
        }
      }
      args.gpoints.put(2 * i, static_cast<float>(image.size[2]) * corners.slope_x(at));
      args.gpoints.put(2 * i + 1, static_cast<float>(image.size[1]) * corners.slope_y(at));
    }
  });
}

}  // namespace

void point_sample_cpu(const PointSampleArgs& args) {
  if (args.features.dtype == DType::f32)
    sample_type<float>(args);
  else
    sample_type<std::uint8_t>(args);
}

void point_sample_backward_cpu(const PointSampleBackwardArgs& args) {
  if (args.gfeatures && args.features.size[3] == 1) scatter<1>(args);
  if (args.gfeatures && args.features.size[3] != 1) scatter<0>(args);
  if (args.gpoints) point_gradients(args);
}

void uncertain_points_cpu(const UncertainPointsArgs& args) {
  const std::int64_t candidates = args.candidates.size[1], random = args.random.size[1];
  const std::int64_t keep = args.out.size[1] - random;
  cpu::parallel_for(args.out.size[0], 1, [&](std::int64_t begin, std::int64_t end) {
    // |logit| above the index: bits of floats that are not negative are in their order, and no two keys are equal.
    std::vector<std::uint64_t> keys(candidates), selected;
    for (std::int64_t m = begin; m < end; ++m) {
      for (std::int64_t i = 0; i < candidates; ++i) {
        const float logit = args.logits.as<float>()[m * candidates + i];
        // What is not a number comes last and does not upset the order.
        const float distance = std::isnan(logit) ? std::numeric_limits<float>::infinity() : std::abs(logit);
        keys[i] = std::uint64_t{std::bit_cast<std::uint32_t>(distance)} << 32 | static_cast<std::uint64_t>(i);
      }
      float* to = args.out.as<float>() + m * (keep + random) * 2;
      if (keep > 0) {
        selected = keys;
        std::nth_element(selected.begin(), selected.begin() + keep - 1, selected.end());
        const std::uint64_t last = selected[keep - 1];
        for (std::int64_t i = 0; i < candidates; ++i)
          if (keys[i] <= last) to = std::copy_n(args.candidates.as<float>() + (m * candidates + i) * 2, 2, to);
      }
      std::copy_n(args.random.as<float>() + m * random * 2, random * 2, to);
    }
  });
}

}  // namespace visage::ops
