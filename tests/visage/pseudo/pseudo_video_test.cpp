#include "visage/pseudo/pseudo_video.h"

#include "tensor/error.h"
#include "visage/pseudo/procedural.h"
#include "visage/pseudo/shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace visage::pseudo {
namespace {

// Opaque squares, each of one colour, so that every pixel tells which object drew it.
class FlatObjects : public ObjectSource {
 public:
  std::span<const annotation::Category> categories() const override { return categories_; }
  std::vector<Sprite> draw(int64_t count, media::Size, Random&) const override {
    std::vector<Sprite> sprites;
    for (int64_t i = 0; i < count; ++i) {
      Sprite sprite{.height = 40, .width = 50, .rgba = {}, .category_id = 7, .identity = std::to_string(i)};
      for (int64_t p = 0; p < 40 * 50; ++p) {
        sprite.rgba.insert(sprite.rgba.end(), {color(i), static_cast<uint8_t>(255 - color(i)), 200, 255});
      }
      sprites.push_back(std::move(sprite));
    }
    return sprites;
  }
  static uint8_t color(int64_t object) { return static_cast<uint8_t>(40 + 30 * object); }

 private:
  std::vector<annotation::Category> categories_{{.id = 7, .name = "patch", .supercategory = ""}};
};

class BlackBackground : public BackgroundSource {
 public:
  Background draw(media::Size frame, Random&) const override { return {.image = media::Image(frame), .name = "black"}; }
};

const FlatObjects kFlat;
const BlackBackground kBlack;
const ProceduralObjects kShapes;
const ProceduralBackgrounds kTextures;

PseudoOptions small(Mode mode, uint64_t seed = 3) {
  PseudoOptions options;
  options.size = {.width = 160, .height = 96};
  options.seed = seed;
  options.mode = mode;
  return options;
}

bool is_derangement(const std::vector<int64_t>& permutation) {
  for (size_t i = 0; i < permutation.size(); ++i) {
    if (permutation[i] == static_cast<int64_t>(i)) return false;
  }
  return true;
}

TEST(PseudoVideoTest, DerangementMovesEveryObject) {
  PseudoOptions options = small(Mode::swap);
  std::set<std::vector<int64_t>> seen;
  for (int64_t index = 0; index < 300; ++index) {
    const PseudoVideo video(options, index, kFlat, kBlack);
    EXPECT_TRUE(is_derangement(video.permutation())) << index;
    std::vector<int64_t> sorted = video.permutation();
    std::sort(sorted.begin(), sorted.end());
    for (size_t i = 0; i < sorted.size(); ++i) EXPECT_EQ(sorted[i], static_cast<int64_t>(i));
    EXPECT_GE(*video.swap_frame(), 12);
    EXPECT_LE(*video.swap_frame(), 24);
    seen.insert(video.permutation());
  }
  // 1 + 2 + 9 + 44 derangements of 2 to 5 objects; a generator of cycles alone would stop at 1 + 2 + 6 + 24 = 33.
  EXPECT_GT(seen.size(), 40u);
}

TEST(PseudoVideoTest, TheShortestSwapVideoHasItsSwapInside) {
  PseudoOptions options = small(Mode::swap);
  options.frames = 3;
  for (int64_t index = 0; index < 20; ++index) {
    EXPECT_EQ(PseudoVideo(options, index, kFlat, kBlack).swap_frame(), 1);
  }
}

TEST(PseudoVideoTest, UpstreamModeSometimesSwapsNothing) {
  PseudoOptions options = small(Mode::swap);
  options.swap_mode = SwapMode::upstream;
  options.least_objects = 2;
  options.most_objects = 3;
  int identities = 0;
  std::set<int64_t> cuts;
  for (int64_t index = 0; index < 600; ++index) {
    const PseudoVideo video(options, index, kFlat, kBlack);
    identities += std::is_sorted(video.permutation().begin(), video.permutation().end());
    cuts.insert(*video.swap_frame());
  }
  EXPECT_EQ(*cuts.begin(), 1);
  EXPECT_EQ(*cuts.rbegin(), 34);
  EXPECT_NEAR(identities / 600.0, 1.0 / 3, 0.08);  // 1/2 * 1/2! + 1/2 * 1/3!
}

TEST(PseudoVideoTest, TrackModeKeepsEveryPath) {
  const PseudoVideo video(small(Mode::track), 0, kFlat, kBlack);
  EXPECT_FALSE(video.swap_frame());
  for (size_t i = 0; i < video.objects().size(); ++i) {
    for (int64_t t = 0; t < video.frames(); ++t) {
      const Point a = video.centre(i, t), b = video.trajectory(i).at(t);
      EXPECT_TRUE(a.x == b.x && a.y == b.y);
    }
  }
}

TEST(PseudoVideoTest, UpstreamSizesAreDrawnForEveryVideo) {
  PseudoOptions options = small(Mode::track);
  options.frame_size = FrameSize::upstream;
  std::set<std::pair<int, int>> sizes;
  for (int64_t index = 0; index < 200; ++index) {
    const media::Size size = PseudoVideo(options, index, kFlat, kBlack).size();
    for (const int side : {size.width, size.height}) EXPECT_TRUE(side % 100 == 0 && side >= 600 && side <= 900);
    sizes.emplace(size.width, size.height);
  }
  EXPECT_EQ(sizes.size(), 16u);
}

TEST(PseudoVideoTest, MotionIsContinuousExceptAtTheSwap) {
  PseudoOptions options = small(Mode::swap);
  options.frames = 100;  // three curves
  for (int64_t index = 0; index < 20; ++index) {
    const PseudoVideo video(options, index, kFlat, kBlack);
    for (size_t i = 0; i < video.objects().size(); ++i) {
      for (int64_t t = 1; t < video.frames(); ++t) {
        const bool swap = t == *video.swap_frame();
        const Point now = video.centre(i, t);
        const Point before = swap ? video.trajectory(video.permutation()[i]).at(t - 1) : video.centre(i, t - 1);
        const Trajectory& path = video.trajectory(t >= *video.swap_frame() ? video.permutation()[i] : i);
        EXPECT_LE(std::hypot(now.x - before.x, now.y - before.y), path.largest_step() + 1e-9);
        EXPECT_LE(path.largest_step(), 2 * std::hypot(1.4 * 160, 1.4 * 96) / 36);
      }
    }
  }
}

TEST(PseudoVideoTest, CurvesAreQuadratic) {
  // Third differences of a quadratic vanish.
  Random random(5, 0);
  const Trajectory path({.width = 640, .height = 360}, 36, 36, random);
  for (int64_t t = 0; t + 3 < 36; ++t) {
    EXPECT_NEAR(path.at(t + 3).x - 3 * path.at(t + 2).x + 3 * path.at(t + 1).x - path.at(t).x, 0, 1e-9);
    EXPECT_NEAR(path.at(t + 3).y - 3 * path.at(t + 2).y + 3 * path.at(t + 1).y - path.at(t).y, 0, 1e-9);
  }
}

TEST(PseudoVideoTest, MasksAgreeWithTheDrawnPixelsAndIdentitiesKeepTheirObjects) {
  PseudoOptions options = small(Mode::swap);
  options.least_objects = 4;
  for (int64_t index = 0; index < 4; ++index) {
    const PseudoVideo video(options, index, kFlat, kBlack);
    for (int64_t t = 0; t < video.frames(); t += 5) {
      const PseudoFrame frame = video.render(t);
      const auto label_at = [&](int64_t x, int64_t y) { return frame.labels[y * 160 + x]; };
      int64_t interior = 0;
      for (int64_t y = 1; y < 95; ++y) {
        for (int64_t x = 1; x < 159; ++x) {
          const int label = label_at(x, y);
          const uint8_t* pixel = frame.image.pixel(x, y);
          // Blue is 200 times the coverage by any object; away from edges red says which one is in front.
          ASSERT_TRUE(label == 0 ? pixel[2] < 200 : pixel[2] >= 99);
          bool edge = false;
          for (int64_t k = 0; k < 9; ++k) edge |= label_at(x + k % 3 - 1, y + k / 3 - 1) != label;
          if (edge) continue;
          ++interior;
          ASSERT_EQ(pixel[0], label == 0 ? 0 : FlatObjects::color(label - 1)) << x << ", " << y << ", frame " << t;
        }
      }
      EXPECT_GT(interior, 160 * 96 / 2);
    }
  }
}

TEST(PseudoVideoTest, TheFirstObjectIsInFrontAndMasksAreDisjoint) {
  PseudoOptions options = small(Mode::track);
  options.least_objects = options.most_objects = 5;
  bool overlapped = false;
  for (int64_t index = 0; index < 6; ++index) {
    const PseudoVideo video(options, index, kFlat, kBlack);
    for (int64_t t = 0; t < video.frames(); t += 7) {
      const PseudoFrame frame = video.render(t);
      int64_t labelled = 0, areas = 0;
      for (const uint8_t label : frame.labels) labelled += label != 0;
      std::vector<annotation::Rle> masks;
      for (size_t i = 0; i < video.objects().size(); ++i) {
        const auto mask = video.mask(frame, i);
        if (!mask) continue;
        areas += area(*mask);
        for (const annotation::Rle& other : masks) EXPECT_EQ(overlap(*mask, other).intersection_area, 0);
        masks.push_back(*mask);
      }
      EXPECT_EQ(areas, labelled);
      // The front object is never hidden: inside its own square every pixel in view is its own.
      const Point middle = video.centre(0, t);
      for (int64_t y = 0; y < 96; ++y) {
        for (int64_t x = 0; x < 160; ++x) {
          const bool covered = std::abs(static_cast<double>(x) + 0.5 - middle.x) < 24 &&
                               std::abs(static_cast<double>(y) + 0.5 - middle.y) < 19;
          ASSERT_TRUE(!covered || frame.labels[y * 160 + x] == 1) << x << ", " << y;
        }
      }
      const int64_t full = 5 * 40 * 50;
      overlapped |= areas < full;
    }
  }
  EXPECT_TRUE(overlapped);
}

TEST(PseudoVideoTest, SeedAndIndexDecideEveryByte) {
  const PseudoOptions options = small(Mode::swap, 11);
  const PseudoVideo a(options, 4, kShapes, kTextures), b(options, 4, kShapes, kTextures);
  EXPECT_EQ(a.permutation(), b.permutation());
  for (const int64_t t : {0, 17, 35}) {
    EXPECT_EQ(a.render(t).image.rgb, b.render(t).image.rgb);
    EXPECT_EQ(a.render(t).labels, b.render(t).labels);
  }
  EXPECT_NE(a.render(0).image.rgb, PseudoVideo(options, 5, kShapes, kTextures).render(0).image.rgb);
  EXPECT_NE(a.render(0).image.rgb, PseudoVideo(small(Mode::swap, 12), 4, kShapes, kTextures).render(0).image.rgb);
}

TEST(RandomTest, SeedsAndStreamsAreRepeatableAndApart) {
  Random random(1, 2);
  const uint64_t first = random.bits();
  EXPECT_EQ(first,
            2014289171594349108u);  // recorded: other bits mean that a published seed no longer gives the published set
  EXPECT_NE(first, Random(2, 1).bits());
  for (int i = 0; i < 1000; ++i) {
    const double u = random.uniform();
    EXPECT_TRUE(u >= 0 && u < 1);
    const int64_t n = random.integer(-2, 3);
    EXPECT_TRUE(n >= -2 && n <= 3);
  }
}

TEST(ProceduralTest, IdentitiesOfAVideoDiffer) {
  Random random(9, 0);
  for (int trial = 0; trial < 20; ++trial) {
    const std::vector<Sprite> sprites = kShapes.draw(5, {.width = 96, .height = 96}, random);
    std::set<std::string> identities;
    for (const Sprite& sprite : sprites) {
      identities.insert(sprite.identity);
      EXPECT_GE(sprite.category_id, 1);
      EXPECT_LE(sprite.category_id, 8);
      EXPECT_EQ(sprite.rgba.size(), static_cast<size_t>(4 * sprite.width * sprite.height));
    }
    EXPECT_EQ(identities.size(), 5u);
  }
}

TEST(ProceduralTest, ShapesFitTheUnitCircleAndHaveTheirForm) {
  for (size_t shape = 0; shape < kShapeNames.size(); ++shape) {
    SCOPED_TRACE(std::string(kShapeNames[shape]));
    double inside = 0;
    for (double y = -1.1; y < 1.1; y += 0.02) {
      for (double x = -1.1; x < 1.1; x += 0.02) {
        const double distance = shape_distance(static_cast<int64_t>(shape), x, y);
        EXPECT_TRUE(distance > 0 || std::hypot(x, y) < 1.03) << x << ", " << y;
        if (distance < 0) inside += 0.02 * 0.02;
      }
    }
    EXPECT_GT(inside, 0.8);
    EXPECT_LT(inside, 3.0);
  }
  EXPECT_LT(shape_distance(0, 0, 0), 0);  // circle
  EXPECT_GT(shape_distance(4, 0, 0), 0);  // ring
  EXPECT_NEAR(shape_distance(0, 2, 0), 1.08, 1e-12);
}

TEST(PseudoVideoTest, ImpossibleOptionsAreRefused) {
  const auto error_of = [](auto change) -> std::string {
    PseudoOptions options;
    change(options);
    try {
      check_options(options);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "no error";
  };
  using ::testing::HasSubstr;
  EXPECT_EQ(error_of([](PseudoOptions&) {}), "no error");
  EXPECT_THAT(error_of([](PseudoOptions& o) { o.frames = 2; }), HasSubstr("frames must be between 3"));
  EXPECT_EQ(error_of([](PseudoOptions& o) { o.frames = 1, o.mode = Mode::track; }), "no error");
  EXPECT_THAT(error_of([](PseudoOptions& o) { o.least_objects = 1; }), HasSubstr("objects must be a range between 2"));
  EXPECT_THAT(error_of([](PseudoOptions& o) { o.most_objects = 1; }), HasSubstr("objects"));
  EXPECT_THAT(error_of([](PseudoOptions& o) { o.size.width = 0; }), HasSubstr("size must be between"));
  EXPECT_THAT(error_of([](PseudoOptions& o) { o.curve_frames = 0; }), HasSubstr("curve_frames"));
}

}  // namespace
}  // namespace visage::pseudo
