#include "tensor/error.h"
#include "visage/pseudo/noise.h"
#include "visage/pseudo/procedural.h"
#include "visage/pseudo/shape.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

namespace visage::pseudo {
namespace {

constexpr std::array<std::string_view, 8> kPatternNames = {"stripes", "checks", "dots",   "waves",
                                                           "marble",  "plaid",  "zigzag", "gradient"};

struct ColorPair {
  std::string_view name;
  Color base, accent;
};
constexpr std::array<ColorPair, 12> kColors = {{{"red", {206, 38, 54}, {255, 224, 196}},
                                                {"orange", {244, 124, 12}, {94, 42, 18}},
                                                {"yellow", {250, 200, 36}, {44, 42, 52}},
                                                {"green", {38, 146, 66}, {206, 246, 186}},
                                                {"teal", {0, 150, 156}, {8, 40, 78}},
                                                {"blue", {34, 90, 214}, {226, 238, 255}},
                                                {"purple", {116, 54, 178}, {252, 206, 92}},
                                                {"pink", {226, 58, 146}, {255, 208, 228}},
                                                {"zebra", {242, 242, 242}, {26, 26, 32}},
                                                {"lime", {166, 214, 24}, {26, 74, 30}},
                                                {"sky", {84, 182, 240}, {232, 90, 40}},
                                                {"chocolate", {112, 66, 38}, {240, 204, 150}}}};

// Colour of an object at (x, y), in units of its radius.
struct Texture {
  int64_t pattern = 0;
  const ColorPair* colors = nullptr;
  double angle = 0, period = 0.4, phase = 0;
  uint64_t seed = 0;

  Color at(double x, double y) const {
    const double u = std::cos(angle) * x + std::sin(angle) * y, v = std::cos(angle) * y - std::sin(angle) * x;
    return blend(colors->base, colors->accent, share(u, v));
  }

  // Share of the accent colour.
  double share(double u, double v) const {
    constexpr double kTurn = 2 * std::numbers::pi;
    const auto cell = [&](double c) { return c / period + phase - std::floor(c / period + phase); };
    switch (pattern) {
      case 0: return cell(u) < 0.45;
      case 1: return (cell(u) < 0.5) != (cell(v) < 0.5);
      case 2: return std::hypot(cell(u) - 0.5, cell(v) - 0.5) < 0.3;
      case 3: return cell(u + 0.3 * period * std::sin(kTurn * v / (1.7 * period))) < 0.45;
      case 4: {
        const double bend = 2.2 * fractal_noise(3 * u + 9, 3 * v + 5, seed, 4);
        return std::pow(0.5 + 0.5 * std::sin(kTurn * (u / (1.6 * period) + bend)), 2);
      }
      case 5: return 0.5 * ((cell(u) < 0.4) + (cell(v) < 0.4));
      case 6: return cell(u + 0.7 * period * std::abs(2 * cell(v / 1.4) - 1)) < 0.45;
      default: return std::clamp(0.5 + 0.62 * u, 0.0, 1.0);
    }
  }
};

// Supersampled: each pixel is the mean of a grid of points.
Sprite render(int64_t shape, const Texture& texture, double diameter, double turn) {
  constexpr int kSamples = 4;
  constexpr double kRim = 0.055;
  const double radius = diameter / 2;
  Sprite sprite;
  sprite.width = sprite.height = static_cast<int64_t>(std::ceil(diameter)) + 2;
  sprite.rgba.assign(4 * sprite.width * sprite.height, 0);
  for (int64_t py = 0; py < sprite.height; ++py) {
    for (int64_t px = 0; px < sprite.width; ++px) {
      Color sum;
      int covered = 0;
      for (int s = 0; s < kSamples * kSamples; ++s) {
        const double x =
            (static_cast<double>(px) + (s % kSamples + 0.5) / kSamples - static_cast<double>(sprite.width) / 2) /
            radius;
        const double y =
            (static_cast<double>(py) + (s / kSamples + 0.5) / kSamples - static_cast<double>(sprite.height) / 2) /
            radius;
        const double inside =
            -shape_distance(shape, std::cos(turn) * x + std::sin(turn) * y, std::cos(turn) * y - std::sin(turn) * x);
        if (inside <= 0) continue;
        // Light from the top left and a dark rim give the flat patterns some volume.
        const double light = 1.04 - 0.2 * (x + y) / std::numbers::sqrt2;
        const double rim = inside < kRim ? 0.42 : 1 - 0.25 * std::exp(-(inside - kRim) / 0.09);
        const Color color = texture.at(x, y) * (light * rim);
        sum = {sum.r + color.r, sum.g + color.g, sum.b + color.b};
        ++covered;
      }
      if (covered == 0) continue;
      uint8_t* pixel = sprite.rgba.data() + 4 * (py * sprite.width + px);
      const Color mean = sum * (1.0 / covered);
      pixel[0] = to_byte(mean.r);
      pixel[1] = to_byte(mean.g);
      pixel[2] = to_byte(mean.b);
      pixel[3] = to_byte(255.0 * covered / (kSamples * kSamples));
    }
  }
  return sprite;
}

}  // namespace

ProceduralObjects::ProceduralObjects(Options options) : options_(options) {
  for (size_t i = 0; i < kShapeNames.size(); ++i) {
    categories_.push_back(
        {.id = static_cast<int64_t>(i) + 1, .name = std::string(kShapeNames[i]), .supercategory = "shape"});
  }
}

std::vector<Sprite> ProceduralObjects::draw(int64_t count, media::Size frame, Random& random) const {
  const std::vector<int64_t> patterns = random.permutation(kPatternNames.size());
  const std::vector<int64_t> colors = random.permutation(kColors.size());
  // Many objects need smaller ones to stay visible.
  const double crowd = std::min(1.0, std::sqrt(5.0 / static_cast<double>(count)));
  const double shorter = std::min(frame.width, frame.height) * crowd;
  std::vector<Sprite> sprites;
  std::vector<int64_t> shapes;
  for (int64_t i = 0; i < count; ++i) {
    const bool repeat = i > 0 && random.uniform() < options_.repeat_class;
    shapes.push_back(repeat ? shapes[random.integer(0, i - 1)] : random.integer(0, kShapeNames.size() - 1));
    // Pattern and colours both differ between objects as long as there are enough of them, and together always do.
    const int64_t round = i / static_cast<int64_t>(kPatternNames.size());
    const Texture texture{.pattern = patterns[i % kPatternNames.size()],
                          .colors = &kColors[colors[(i + round) % kColors.size()]],
                          .angle = random.uniform(0, std::numbers::pi),
                          .period = random.uniform(0.34, 0.5),
                          .phase = random.uniform(),
                          .seed = random.bits()};
    const double diameter = shorter * random.uniform(options_.least_diameter, options_.most_diameter);
    Sprite sprite = render(shapes.back(), texture, diameter, random.uniform(-0.35, 0.35));
    sprite.category_id = categories_[shapes.back()].id;
    sprite.identity = std::string(texture.colors->name) + " " + std::string(kPatternNames[texture.pattern]);
    sprites.push_back(std::move(sprite));
  }
  return sprites;
}

}  // namespace visage::pseudo
