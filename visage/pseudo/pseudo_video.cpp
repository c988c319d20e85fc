#include "visage/pseudo/pseudo_video.h"

#include "tensor/error.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace visage::pseudo {
namespace {

constexpr int64_t kMostObjects = 254;   // labels are bytes
constexpr double kLeastDistance = 0.3;  // between centres in the first frame, of the shorter side
constexpr int kPlacementAttempts = 60;

// Adds `weight` times one premultiplied sprite pixel; outside the sprite everything is transparent.
void gather(const Sprite& sprite, int64_t x, int64_t y, double weight, double (&sum)[4]) {
  if (x < 0 || y < 0 || x >= sprite.width || y >= sprite.height) return;
  const uint8_t* pixel = sprite.rgba.data() + 4 * (y * sprite.width + x);
  const double alpha = weight * pixel[3] / 255;
  for (int c = 0; c < 3; ++c) sum[c] += alpha * pixel[c];
  sum[3] += alpha;
}

// Blends the sprite with its top-left corner at (left, top), between pixels bilinearly, so that slow motion is smooth.
void paste(const Sprite& sprite, double left, double top, uint8_t label, PseudoFrame& frame) {
  const auto x0 = static_cast<int64_t>(std::floor(left)), y0 = static_cast<int64_t>(std::floor(top));
  const double fx = left - static_cast<double>(x0), fy = top - static_cast<double>(y0);
  media::Image& image = frame.image;
  const int64_t bottom = std::min<int64_t>(image.height, y0 + sprite.height + 1);
  const int64_t right = std::min<int64_t>(image.width, x0 + sprite.width + 1);
  for (int64_t y = std::max<int64_t>(0, y0); y < bottom; ++y) {
    for (int64_t x = std::max<int64_t>(0, x0); x < right; ++x) {
      double sum[4] = {};
      gather(sprite, x - x0, y - y0, (1 - fx) * (1 - fy), sum);
      gather(sprite, x - x0 - 1, y - y0, fx * (1 - fy), sum);
      gather(sprite, x - x0, y - y0 - 1, (1 - fx) * fy, sum);
      gather(sprite, x - x0 - 1, y - y0 - 1, fx * fy, sum);
      if (sum[3] <= 0) continue;
      uint8_t* pixel = image.pixel(x, y);
      for (int c = 0; c < 3; ++c) {
        pixel[c] = static_cast<uint8_t>(std::min(255.0, pixel[c] * (1 - sum[3]) + sum[c] + 0.5));
      }
      if (sum[3] >= 0.5) frame.labels[y * image.width + x] = label;
    }
  }
}

media::Size draw_size(Random& random) {
  const auto side = [&] { return static_cast<int>(100 * random.integer(6, 9)); };
  const int width = side();
  return {.width = width, .height = side()};
}

}  // namespace

const char* name_of(Mode mode) { return mode == Mode::swap ? "swap" : "track"; }

void check_options(const PseudoOptions& options) {
  const auto [width, height] = options.size;
  check<UsageError>(width >= 32 && height >= 32 && width <= 8192 && height <= 8192,
                    "pseudo: size must be between 32x32 and 8192x8192; got ", width, "x", height);
  const int64_t least_frames = options.mode == Mode::swap ? 3 : 1;
  check<UsageError>(options.frames >= least_frames && options.frames <= 1000000, "pseudo: frames must be between ",
                    least_frames, " and 1000000; got ", options.frames);
  const int64_t least = options.mode == Mode::swap ? 2 : 1;
  check<UsageError>(options.least_objects >= least && options.least_objects <= options.most_objects &&
                        options.most_objects <= kMostObjects,
                    "pseudo: objects must be a range between ", least, " and ", kMostObjects, "; got ",
                    options.least_objects, " to ", options.most_objects);
  check<UsageError>(options.curve_frames >= 2, "pseudo: curve_frames must be at least 2; got ", options.curve_frames);
}

PseudoVideo::PseudoVideo(const PseudoOptions& options, int64_t index, const ObjectSource& objects,
                         const BackgroundSource& backgrounds)
    : options_(options) {
  check_options(options);
  Random random(options.seed, static_cast<uint64_t>(index));
  if (options.frame_size == FrameSize::upstream) options_.size = draw_size(random);
  const int64_t count = random.integer(options.least_objects, options.most_objects);
  background_ = backgrounds.draw(options_.size, random);
  sprites_ = objects.draw(count, options_.size, random);
  place(random);
  permutation_.resize(sprites_.size());
  std::iota(permutation_.begin(), permutation_.end(), 0);
  if (options.mode == Mode::swap) draw_swap(random);
}

void PseudoVideo::place(Random& random) {
  const double apart = kLeastDistance * std::min(options_.size.width, options_.size.height);
  for (size_t i = 0; i < sprites_.size(); ++i) {
    const auto draw = [&] { return Trajectory(options_.size, options_.frames, options_.curve_frames, random); };
    Trajectory candidate = draw();
    // Objects that start on top of each other would hide an identity in the first frame; many objects may have to.
    const auto crowded = [&] {
      return std::any_of(trajectories_.begin(), trajectories_.end(), [&](const Trajectory& other) {
        const Point a = candidate.at(0), b = other.at(0);
        return std::hypot(a.x - b.x, a.y - b.y) < apart;
      });
    };
    for (int attempt = 1; attempt < kPlacementAttempts && crowded(); ++attempt) candidate = draw();
    trajectories_.push_back(std::move(candidate));
  }
}

void PseudoVideo::draw_swap(Random& random) {
  const auto count = static_cast<int64_t>(sprites_.size());
  const int64_t last = options_.frames - 2;
  const bool anywhere = options_.swap_mode == SwapMode::upstream;
  swap_frame_ = random.integer(anywhere ? 1 : std::max<int64_t>(1, options_.frames / 3),
                               anywhere ? last : std::min(last, 2 * options_.frames / 3));
  const auto has_fixed_point = [&] {
    for (int64_t i = 0; i < count; ++i) {
      if (permutation_[i] == i) return true;
    }
    return false;
  };
  do {
    permutation_ = random.permutation(count);
  } while (options_.swap_mode == SwapMode::derangement && has_fixed_point());
}

Point PseudoVideo::centre(int64_t object, int64_t frame) const {
  const bool swapped = swap_frame_ && frame >= *swap_frame_;
  return trajectories_[swapped ? permutation_[object] : object].at(frame);
}

PseudoFrame PseudoVideo::render(int64_t frame) const {
  PseudoFrame result{.image = background_.image,
                     .labels = std::vector<uint8_t>(size_t{1} * options_.size.width * options_.size.height, 0)};
  for (size_t i = sprites_.size(); i-- > 0;) {
    const Sprite& sprite = sprites_[i];
    const Point middle = centre(static_cast<int64_t>(i), frame);
    paste(sprite, middle.x - static_cast<double>(sprite.width) / 2, middle.y - static_cast<double>(sprite.height) / 2,
          static_cast<uint8_t>(i + 1), result);
  }
  return result;
}

std::optional<annotation::Rle> PseudoVideo::mask(const PseudoFrame& frame, int64_t object) const {
  std::vector<uint8_t> own(frame.labels.size());
  bool visible = false;
  for (size_t p = 0; p < own.size(); ++p) {
    own[p] = frame.labels[p] == object + 1;
    visible |= own[p] != 0;
  }
  if (!visible) return std::nullopt;
  return annotation::encode_rows(own.data(), frame.image.height, frame.image.width);
}

}  // namespace visage::pseudo
