#include "train/data/copy_paste.h"

#include "tensor/error.h"
#include "train/data/augment.h"
#include "train/data/clip_sampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace visage::train {
namespace {

// The second image at its place in a frame.
struct Patch {
  media::Image image;
  std::vector<int32_t> source;  // of source_pixels()
  int64_t x = 0, y = 0;
};

Patch place_patch(const CopyPasteOptions& options, const media::Image& second, media::Size frame,
                  CounterRandom& random) {
  const double fit =
      std::min(static_cast<double>(frame.width) / second.width, static_cast<double>(frame.height) / second.height);
  const double scale = fit * random.uniform(options.least_scale, options.most_scale);
  const auto side = [&](int pixels, int most) {
    return std::clamp(static_cast<int>(std::lround(scale * pixels)), 1, most);
  };
  Geometry geometry{.window = {0, 0, second.width, second.height},
                    .out = {side(second.width, frame.width), side(second.height, frame.height)}};
  geometry.flip = random.chance(0.5);
  return {.image = apply(geometry, second),
          .source = source_pixels(geometry, second.size()),
          .x = random.integer(0, frame.width - geometry.out.width),
          .y = random.integer(0, frame.height - geometry.out.height)};
}

// The patch's mask in the frame; empty when nothing is left of it.
Mask shifted(const Mask& mask, const Patch& patch, media::Size frame) {
  if (mask.empty()) return {};
  Mask out(static_cast<size_t>(frame.width) * frame.height);
  for (int64_t y = 0; y < patch.image.height; ++y)
    std::memcpy(&out[(patch.y + y) * frame.width + patch.x], &mask[y * patch.image.width], patch.image.width);
  return out;
}

bool covers_too_much(const Mask& over, const Mask& under, double most_cover) {
  int64_t area = 0, covered = 0;
  for (size_t p = 0; p < under.size(); ++p) {
    area += under[p];
    covered += under[p] & over[p];
  }
  return area > 0 && static_cast<double>(covered) >= most_cover * static_cast<double>(area);
}

// Draws the object over the frame and takes what it covers away from those below.
void paste(const Mask& mask, const Patch& patch, FrameSample& frame) {
  for (int64_t y = 0; y < patch.image.height; ++y)
    for (int64_t x = 0; x < patch.image.width; ++x)
      if (mask[(patch.y + y) * frame.image.width + patch.x + x])
        std::memcpy(frame.image.pixel(patch.x + x, patch.y + y), patch.image.pixel(x, y), 3);
  for (Mask& below : frame.masks) {
    uint8_t left = 0;
    for (size_t p = 0; p < below.size(); ++p) left |= below[p] = static_cast<uint8_t>(below[p] & (mask[p] ^ 1));
    if (!left) below.clear();
  }
}

}  // namespace

void check_options(const CopyPasteOptions& options) {
  check<UsageError>(options.least_scale > 0 && options.least_scale <= options.most_scale && options.most_scale <= 1,
                    "copy-paste: scales must be a range within (0, 1]; got ", options.least_scale, " to ",
                    options.most_scale);
  check<UsageError>(options.most_cover > 0 && options.most_cover <= 1,
                    "copy-paste: most_cover must be within (0, 1]; got ", options.most_cover);
}

void copy_paste(const CopyPasteOptions& options, const RawClip& second, uint64_t key, ClipSample& clip) {
  for (const RawInstance& instance : second.instances) clip.labels.push_back(instance.label);
  for (size_t f = 0; f < clip.frames.size(); ++f) {
    FrameSample& frame = clip.frames[f];
    CounterRandom random({key, f});
    const Patch patch = place_patch(options, second.images[0], frame.image.size(), random);
    for (const RawInstance& instance : second.instances) {
      Mask mask = shifted(apply(patch.source, instance.masks[0]), patch, frame.image.size());
      const bool blocked = mask.empty() || std::any_of(frame.masks.begin(), frame.masks.end(), [&](const Mask& under) {
                             return covers_too_much(mask, under, options.most_cover);
                           });
      if (blocked) mask.clear();
      if (!blocked) paste(mask, patch, frame);
      frame.masks.push_back(std::move(mask));
    }
  }
}

}  // namespace visage::train
