#include "train/data/augment.h"

#include "tensor/error.h"
#include "visage/media/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <utility>

namespace visage::train {
namespace {

int64_t pick(const std::vector<int64_t>& list, CounterRandom& random) {
  return list[random.integer(0, static_cast<int64_t>(list.size()) - 1)];
}

int to_int(double value) { return static_cast<int>(value); }

// A crop in the scaled frame, whose pixels are 1 / scale pixels of the frame.
struct Crop {
  double scale = 1;
  int64_t frame_width = 0, frame_height = 0;  // scaled
  int64_t width = 0, height = 0;              // of the window, scaled
};

Crop draw_crop(const AugmentOptions& options, media::Size frame, CounterRandom& random) {
  const int64_t edge = pick(options.crop_short_edges, random);
  Crop crop;
  crop.scale = static_cast<double>(edge) / std::min(frame.width, frame.height);
  crop.frame_width = std::llround(crop.scale * frame.width);
  crop.frame_height = std::llround(crop.scale * frame.height);
  const auto side = [&](int64_t full) {
    return random.integer(std::min(full, options.crop_least), std::min(full, options.crop_most));
  };
  crop.height = side(crop.frame_height);
  crop.width = side(crop.frame_width);
  return crop;
}

// `count` numbers from [0, 1) in ascending or, as often, in descending order: how far each frame of a clip is on its
// way.
std::vector<double> way(int64_t count, CounterRandom& random) {
  std::vector<double> at(count);
  for (double& x : at) x = random.uniform();
  std::sort(at.begin(), at.end());
  if (random.chance(0.5)) std::reverse(at.begin(), at.end());
  return at;
}

// The window of a frame; (x, y) is its corner in the scaled frame.
Window window_at(const Crop& crop, int64_t x, int64_t y, media::Size frame) {
  const auto interval = [&](int64_t start, int64_t part, int64_t pixels) {
    const int64_t from = std::clamp<int64_t>(std::llround(static_cast<double>(start) / crop.scale), 0, pixels - 1);
    const int64_t size = std::max<int64_t>(1, std::llround(static_cast<double>(part) / crop.scale));
    return std::pair(from, std::min(size, pixels - from));
  };
  const auto [top, height] = interval(y, crop.height, frame.height);
  const auto [left, width] = interval(x, crop.width, frame.width);
  return {.x = left, .y = top, .width = width, .height = height};
}

// Between a corner and another one to the right of it and below, as in the official code.
void move_windows(const Crop& crop, media::Size frame, CounterRandom& random, std::vector<Geometry>& clip) {
  const int64_t last_y = crop.frame_height - crop.height, last_x = crop.frame_width - crop.width;
  const int64_t y0 = random.integer(0, last_y), x0 = random.integer(0, last_x);
  const int64_t y1 = random.integer(y0, last_y), x1 = random.integer(x0, last_x);
  const std::vector<double> at = way(static_cast<int64_t>(clip.size()), random);
  for (size_t f = 0; f < clip.size(); ++f) {
    const auto between = [&](int64_t a, int64_t b) {
      return std::llround(static_cast<double>(a) + static_cast<double>(b - a) * at[f]);
    };
    clip[f].window = window_at(crop, between(x0, x1), between(y0, y1), frame);
  }
}

void turn(const AugmentOptions& options, CounterRandom& random, std::vector<Geometry>& clip) {
  const double x = random.uniform(0.4, 0.6), y = random.uniform(0.4, 0.6);
  const std::vector<double> at = way(static_cast<int64_t>(clip.size()), random);
  for (size_t f = 0; f < clip.size(); ++f) {
    clip[f].angle = (2 * at[f] - 1) * options.most_rotation * std::numbers::pi / 180;
    clip[f].center_x = x * clip[f].out.width;
    clip[f].center_y = y * clip[f].out.height;
  }
}

// Rotation of the RGB cube about its diagonal of greys.
void turn_colors(media::Image& image, double angle) {
  const double cosine = std::cos(angle), sine = std::sin(angle) / std::numbers::sqrt3;
  const double same = cosine + (1 - cosine) / 3, next = (1 - cosine) / 3 - sine, after = (1 - cosine) / 3 + sine;
  for (size_t p = 0; p < image.rgb.size(); p += 3) {
    uint8_t* pixel = image.rgb.data() + p;
    const double rgb[3] = {static_cast<double>(pixel[0]), static_cast<double>(pixel[1]), static_cast<double>(pixel[2])};
    for (int c = 0; c < 3; ++c) {
      const double turned = same * rgb[c] + next * rgb[(c + 1) % 3] + after * rgb[(c + 2) % 3];
      pixel[c] = static_cast<uint8_t>(std::clamp(turned + 0.5, 0.0, 255.0));
    }
  }
}

media::Image cut(const media::Image& image, const Window& window) {
  if (window.width == image.width && window.height == image.height) return image;
  media::Image out(static_cast<int>(window.width), static_cast<int>(window.height));
  for (int64_t y = 0; y < window.height; ++y)
    std::memcpy(out.row(y), image.pixel(window.x, window.y + y), 3 * static_cast<size_t>(window.width));
  return out;
}

void mirror(media::Image& image) {
  for (int64_t y = 0; y < image.height; ++y) {
    uint8_t* row = image.row(y);
    for (int64_t left = 0, right = image.width - 1; left < right; ++left, --right)
      std::swap_ranges(row + 3 * left, row + 3 * left + 3, row + 3 * right);
  }
}

// Position before the rotation of the point (x, y) after it. Rows run down, so counter-clockwise is (dx, dy) ->
// (c dx + s dy, c dy - s dx); this is its inverse.
struct Unturn {
  double c, s, center_x, center_y;
  explicit Unturn(const Geometry& g)
      : c(std::cos(g.angle)), s(std::sin(g.angle)), center_x(g.center_x), center_y(g.center_y) {}
  double x(double px, double py) const { return center_x + c * (px - center_x) - s * (py - center_y); }
  double y(double px, double py) const { return center_y + s * (px - center_x) + c * (py - center_y); }
};

media::Image rotate(const media::Image& image, const Geometry& geometry) {
  const Unturn back(geometry);
  media::Image out(image.size());
  for (int64_t y = 0; y < out.height; ++y) {
    uint8_t* to = out.row(y);
    for (int64_t x = 0; x < out.width; ++x, to += 3) {
      const double px = static_cast<double>(x) + 0.5, py = static_cast<double>(y) + 0.5;
      const double fx = back.x(px, py) - 0.5, fy = back.y(px, py) - 0.5;
      const auto x0 = static_cast<int64_t>(std::floor(fx)), y0 = static_cast<int64_t>(std::floor(fy));
      if (x0 < -1 || y0 < -1 || x0 >= image.width || y0 >= image.height) continue;
      const auto wx = static_cast<float>(fx - static_cast<double>(x0)),
                 wy = static_cast<float>(fy - static_cast<double>(y0));
      float sum[3] = {0.5f, 0.5f, 0.5f};
      for (int corner = 0; corner < 4; ++corner) {
        const int64_t sx = x0 + (corner & 1), sy = y0 + (corner >> 1);
        if (sx < 0 || sy < 0 || sx >= image.width || sy >= image.height) continue;
        const float weight = (corner & 1 ? wx : 1 - wx) * (corner >> 1 ? wy : 1 - wy);
        const uint8_t* from = image.pixel(sx, sy);
        for (int i = 0; i < 3; ++i) sum[i] += weight * static_cast<float>(from[i]);
      }
      for (int i = 0; i < 3; ++i) to[i] = static_cast<uint8_t>(std::min(sum[i], 255.f));
    }
  }
  return out;
}

}  // namespace

AugmentOptions image_augmentation() {
  AugmentOptions options;
  options.short_edges = {288, 320, 352, 384, 416, 448, 480, 512};
  options.most_rotation = 15;
  return options;
}

void check_options(const AugmentOptions& options) {
  const auto all_positive = [](const std::vector<int64_t>& list) {
    return !list.empty() && std::all_of(list.begin(), list.end(), [](int64_t v) { return v >= 1 && v <= 8192; });
  };
  const auto is_probability = [](double p) { return p >= 0 && p <= 1; };
  check<UsageError>(all_positive(options.short_edges), "augmentation: short_edges needs values from 1 to 8192");
  check<UsageError>(options.longest_edge >= 1 && options.longest_edge <= 8192,
                    "augmentation: longest_edge must be from 1 to 8192; got ", options.longest_edge);
  check<UsageError>(is_probability(options.flip_probability),
                    "augmentation: flip_probability must be from 0 to 1; got ", options.flip_probability);
  check<UsageError>(is_probability(options.crop_probability),
                    "augmentation: crop_probability must be from 0 to 1; got ", options.crop_probability);
  check<UsageError>(all_positive(options.crop_short_edges),
                    "augmentation: crop_short_edges needs values from 1 to 8192");
  check<UsageError>(options.crop_least >= 1 && options.crop_least <= options.crop_most,
                    "augmentation: the crop must be a range of at least 1 pixel; got ", options.crop_least, " to ",
                    options.crop_most);
  check<UsageError>(options.most_rotation >= 0 && options.most_rotation <= 180,
                    "augmentation: most_rotation must be from 0 to 180 degrees; got ", options.most_rotation);
  check<UsageError>(options.most_hue >= 0 && options.most_hue <= 180,
                    "augmentation: most_hue must be from 0 to 180 degrees; got ", options.most_hue);
}

std::vector<Geometry> draw_geometry(const AugmentOptions& options, media::Size frame, int64_t frames,
                                    std::initializer_list<uint64_t> key) {
  CounterRandom random({CounterRandom(key).bits(), 0});  // another stream would be other clips for a published seed
  Geometry common{.window = {0, 0, frame.width, frame.height}, .out = frame};
  common.flip = random.chance(options.flip_probability);
  const bool cropped = random.chance(options.crop_probability);
  const int64_t short_edge = pick(options.short_edges, random);
  const Crop crop = cropped ? draw_crop(options, frame, random) : Crop();
  const media::Size seen =
      cropped ? media::Size{to_int(static_cast<double>(crop.width)), to_int(static_cast<double>(crop.height))} : frame;
  common.out = media::resized_size(seen, static_cast<int>(short_edge), static_cast<int>(options.longest_edge));
  std::vector<Geometry> clip(frames, common);
  if (cropped) move_windows(crop, frame, random, clip);
  if (options.most_rotation > 0) turn(options, random, clip);
  if (options.most_hue > 0)
    for (Geometry& one : clip) one.hue = random.uniform(-options.most_hue, options.most_hue) * std::numbers::pi / 180;
  return clip;
}

media::Image apply(const Geometry& geometry, const media::Image& image) {
  media::Image out = media::resize(cut(image, geometry.window), geometry.out);
  if (geometry.flip) mirror(out);
  if (geometry.hue != 0) turn_colors(out, geometry.hue);
  return geometry.angle == 0 ? out : rotate(out, geometry);
}

std::vector<int32_t> source_pixels(const Geometry& geometry, media::Size frame) {
  const auto [width, height] = geometry.out;
  const Window& window = geometry.window;
  // Columns and rows of the output without rotation, as columns and rows of the frame.
  std::vector<int32_t> column(width), row(height);
  for (int64_t x = 0; x < width; ++x) {
    const int64_t unflipped = geometry.flip ? width - 1 - x : x;
    column[x] = static_cast<int32_t>(window.x + (2 * unflipped + 1) * window.width / (2 * width));
  }
  for (int64_t y = 0; y < height; ++y)
    row[y] = static_cast<int32_t>(window.y + (2 * y + 1) * window.height / (2 * height));

  std::vector<int32_t> source(static_cast<size_t>(width) * height);
  const Unturn back(geometry);
  for (int64_t y = 0; y < height; ++y) {
    int32_t* to = source.data() + y * width;
    for (int64_t x = 0; x < width; ++x) {
      if (geometry.angle == 0) {
        to[x] = row[y] * frame.width + column[x];
        continue;
      }
      const double px = static_cast<double>(x) + 0.5, py = static_cast<double>(y) + 0.5;
      const double sx = std::floor(back.x(px, py)), sy = std::floor(back.y(px, py));
      const bool inside = sx >= 0 && sy >= 0 && sx < width && sy < height;
      to[x] = inside ? row[static_cast<size_t>(sy)] * frame.width + column[static_cast<size_t>(sx)] : -1;
    }
  }
  return source;
}

Mask apply(const std::vector<int32_t>& source_pixels, const Mask& mask) {
  Mask out(source_pixels.size());
  uint8_t any = 0;
  for (size_t p = 0; p < out.size(); ++p) any |= out[p] = source_pixels[p] < 0 ? 0 : mask[source_pixels[p]];
  return any ? out : Mask();
}

}  // namespace visage::train
