#include "train/data/clip_sampler.h"

#include "tensor/error.h"
#include "tests/support/threads.h"
#include "tests/train/data/data_files.h"
#include "train/data/pseudo_videos.h"
#include "visage/media/png.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numbers>
#include <numeric>
#include <set>

namespace visage::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ClipOptions plain() {
  ClipOptions options;
  options.augment.short_edges = {64};
  options.augment.flip_probability = options.augment.crop_probability = 0;
  return options;
}

TEST(CounterRandomTest, PermutationVisitsEverythingOnceAndDependsOnTheKey) {
  for (const int64_t count : {1, 2, 3, 4, 5, 16, 17, 100, 1000}) {
    std::set<int64_t> seen;
    for (int64_t i = 0; i < count; ++i) seen.insert(permuted(i, count, 77));
    EXPECT_EQ(static_cast<int64_t>(seen.size()), count);
    EXPECT_EQ(*seen.begin(), 0);
    EXPECT_EQ(*seen.rbegin(), count - 1);
  }
  int same = 0, fixed = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    same += permuted(i, 1000, 1) == permuted(i, 1000, 2);
    fixed += permuted(i, 1000, 1) == i;
  }
  EXPECT_LT(same, 12);
  EXPECT_LT(fixed, 12);
}

TEST(CounterRandomTest, IsUniformAndKeysAreUnrelated) {
  double sum = 0, product = 0;
  constexpr int kDraws = 20000;
  for (uint64_t k = 0; k < kDraws; ++k) {
    const double a = CounterRandom({1, k}).uniform(), b = CounterRandom({1, k + 1}).uniform();
    sum += a;
    product += (a - 0.5) * (b - 0.5);
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.01);
  EXPECT_NEAR(product / kDraws, 0, 0.003);
}

TEST(DrawFramesTest, StaysInRangeSortedAndCoversEverything) {
  ClipOptions options;
  options.frames = 4;
  options.range = 3;
  std::map<int64_t, int> seen;
  bool repeated = false;
  for (uint64_t i = 0; i < 3000; ++i) {
    CounterRandom random({i});
    const auto frames = draw_frames(20, options, random);
    ASSERT_EQ(frames.size(), 4u);
    EXPECT_TRUE(std::is_sorted(frames.begin(), frames.end()));
    EXPECT_GE(frames.front(), 0);
    EXPECT_LT(frames.back(), 20);
    EXPECT_LE(frames.back() - frames.front(), 6);
    repeated |= std::adjacent_find(frames.begin(), frames.end()) != frames.end();
    for (const int64_t f : frames) ++seen[f];
  }
  EXPECT_EQ(seen.size(), 20u);
  EXPECT_TRUE(repeated);
}

TEST(DrawFramesTest, WithoutReplacementRepeatsOnlyWhenItMust) {
  ClipOptions options;
  options.replacement = Replacement::without;
  options.range = 10;
  for (uint64_t i = 0; i < 200; ++i) {
    CounterRandom random({i});
    const auto frames = draw_frames(9, options, random);
    EXPECT_EQ(std::set<int64_t>(frames.begin(), frames.end()).size(), 4u);
    CounterRandom again({i});
    const auto few = draw_frames(3, options, again);
    EXPECT_EQ(std::set<int64_t>(few.begin(), few.end()).size(), 3u);
  }
  CounterRandom random({1});
  EXPECT_THAT(draw_frames(1, options, random), ElementsAre(0, 0, 0, 0));
}

TEST(DrawFramesTest, CanBeShuffled) {
  ClipOptions options;
  options.order = FrameOrder::shuffled;
  int unsorted = 0;
  for (uint64_t i = 0; i < 100; ++i) {
    CounterRandom random({i});
    const auto frames = draw_frames(50, options, random);
    unsorted += !std::is_sorted(frames.begin(), frames.end());
  }
  EXPECT_GT(unsorted, 70);
}

class ClipSamplerTest : public ::testing::Test {
 protected:
  test::Threads one_thread_{1};  // the images are too small to share among threads
  test::TemporaryFolder folder_;
};

TEST_F(ClipSamplerTest, ClassesAreInOrderOfTheirIds) {
  const auto data = video_set(folder_);
  ASSERT_EQ(data->classes().size(), 3u);
  EXPECT_EQ(data->classes()[0].name, "bird");
  EXPECT_EQ(data->classes()[1].name, "zebra");
  EXPECT_EQ(data->classes()[2].name, "cat");
}

TEST_F(ClipSamplerTest, TakesSparseTracksAndLeavesOutCrowdsAndBoxlessMasks) {
  const auto data = video_set(folder_);
  const std::vector<int64_t> frames{0, 2, 3, 5, 7};
  const RawClip clip = data->load(0, frames);
  ASSERT_EQ(clip.instances.size(), 2u);  // the crowd is not there
  EXPECT_EQ(clip.instances[0].label, 1);
  EXPECT_EQ(clip.instances[1].label, 0);
  const auto area = [](const Mask& mask) { return std::accumulate(mask.begin(), mask.end(), 0); };
  const auto areas = [&](const RawInstance& i) {
    std::vector<int> all;
    for (const Mask& mask : i.masks) all.push_back(area(mask));
    return all;
  };
  EXPECT_THAT(areas(clip.instances[0]), ElementsAre(960, 0, 960, 0, 960));
  EXPECT_THAT(areas(clip.instances[1]), ElementsAre(200, 200, 200, 0, 0));
  EXPECT_EQ(clip.instances[0].masks[0][10 * 96 + 8], 1);
  EXPECT_EQ(clip.instances[0].masks[0][10 * 96 + 7], 0);
  EXPECT_TRUE(data->load(1, std::vector<int64_t>{0, 1}).instances.empty());  // its box is null
}

TEST_F(ClipSamplerTest, AbsentObjectsKeepTheirPlaceWithIdMinusOne) {
  const ClipSampler sampler(video_set(folder_), plain(), 5);
  bool absent = false, both = false;
  for (int64_t i = 0; i < 60; ++i) {
    const ClipSample clip = sampler.sample(i);
    ASSERT_EQ(clip.frames.size(), 4u);
    ASSERT_FALSE(clip.labels.empty());  // clips of video 3 are drawn again
    EXPECT_EQ(clip.video_id, 7);
    both |= clip.labels.size() == 2;
    std::vector<bool> ever(clip.labels.size());
    for (const FrameSample& frame : clip.frames) {
      ASSERT_EQ(frame.ids.size(), clip.labels.size());
      ASSERT_EQ(frame.masks.size(), clip.labels.size());
      EXPECT_EQ(frame.image.size(), (media::Size{96, 64}));
      for (size_t k = 0; k < clip.labels.size(); ++k) {
        EXPECT_EQ(frame.ids[k], frame.masks[k].empty() ? -1 : static_cast<int64_t>(k));
        ever[k] = ever[k] || frame.ids[k] >= 0;
        absent |= frame.ids[k] < 0;
        const bool zebra = clip.labels[k] == 1;
        const bool there = zebra ? frame.number != 2 && frame.number != 5 : frame.number < 4;
        EXPECT_EQ(frame.ids[k] >= 0, there) << "frame " << frame.number;
      }
    }
    EXPECT_THAT(ever, ::testing::Each(true));
  }
  EXPECT_TRUE(absent && both);
}

TEST_F(ClipSamplerTest, VisitsEveryVideoOnceAnEpoch) {
  ClipOptions options = plain();
  options.empty = EmptyClips::keep;
  const ClipSampler sampler(video_set(folder_), options, 5);
  for (int64_t epoch = 0; epoch < 5; ++epoch) {
    const std::set<int64_t> ids{sampler.sample(2 * epoch).video_id, sampler.sample(2 * epoch + 1).video_id};
    EXPECT_THAT(ids, ElementsAre(3, 7));
  }
}

TEST_F(ClipSamplerTest, LabelMapRenamesAndLeavesOut) {
  ClipOptions options = plain();
  options.label_map = {-1, 17, -1};  // only the zebra stays
  const ClipSampler sampler(video_set(folder_), options, 5);
  for (int64_t i = 0; i < 20; ++i) EXPECT_THAT(sampler.sample(i).labels, ElementsAre(17));
  options.label_map = {0};
  EXPECT_THROW(ClipSampler(video_set(folder_), options, 5), UsageError);
}

// Mean column and row of the red pixels, weighted by their redness, minus those of the mask.
std::pair<double, double> centroid_offset(const FrameSample& frame) {
  double red[3] = {}, mask[3] = {};
  for (int64_t y = 0; y < frame.image.height; ++y)
    for (int64_t x = 0; x < frame.image.width; ++x) {
      const double weights[] = {frame.image.pixel(x, y)[0] / 255.0,
                                static_cast<double>(frame.masks[0][y * frame.image.width + x])};
      double* const sums[] = {red, mask};
      for (int k = 0; k < 2; ++k) {
        sums[k][0] += weights[k];
        sums[k][1] += weights[k] * static_cast<double>(x);
        sums[k][2] += weights[k] * static_cast<double>(y);
      }
    }
  return {red[1] / red[0] - mask[1] / mask[0], red[2] / red[0] - mask[2] / mask[0]};
}

TEST_F(ClipSamplerTest, MasksAreNotShiftedByAFractionOfAPixel) {
  ClipOptions options = plain();
  options.label_map = {-1, 0, -1};
  options.augment.short_edges.clear();  // many sizes, so that rounding at the edges of the box averages out
  for (int64_t edge = 40; edge < 140; ++edge) options.augment.short_edges.push_back(edge);
  for (const double flip : {0.0, 1.0})
    for (const double rotation : {0.0, 10.0}) {
      options.augment.flip_probability = flip;
      options.augment.most_rotation = rotation;
      const ClipSampler sampler(video_set(folder_), options, 11);
      double dx = 0, dy = 0;
      int count = 0;
      for (int64_t i = 0; i < 30; ++i)
        for (const FrameSample& frame : sampler.sample(i).frames) {
          if (frame.masks.empty() || frame.masks[0].empty()) continue;
          const auto [x, y] = centroid_offset(frame);
          dx += x;
          dy += y;
          ++count;
        }
      EXPECT_NEAR(dx / count, 0, 0.12) << "flip " << flip << ", rotation " << rotation;
      EXPECT_NEAR(dy / count, 0, 0.12) << "flip " << flip << ", rotation " << rotation;
    }
}

// Images are painted from the masks, so whatever moves one without the other shows.
TEST_F(ClipSamplerTest, AugmentationKeepsMasksOnTheirPixels) {
  ClipOptions options;
  options.label_map = {-1, 0, -1};
  options.augment.short_edges = {48, 64, 90, 128};
  options.augment.crop_short_edges = {64, 80};
  options.augment.crop_least = 50;
  options.augment.crop_most = 75;
  for (const double rotation : {0.0, 15.0, 120.0}) {
    options.augment.most_rotation = rotation;
    const ClipSampler sampler(video_set(folder_), options, 9);
    std::set<std::pair<int, int>> sizes;
    for (int64_t i = 0; i < 40; ++i) {
      const ClipSample clip = sampler.sample(i);
      for (const FrameSample& frame : clip.frames) {
        EXPECT_GT(agreement(frame.image, frame.masks), 0.98) << clip.description();
        EXPECT_EQ(frame.image.size(), clip.frames[0].image.size());
      }
      sizes.emplace(clip.frames[0].image.width, clip.frames[0].image.height);
    }
    EXPECT_GT(sizes.size(), 10u);
  }
}

TEST_F(ClipSamplerTest, FlipsHalfOfTheClips) {
  ClipOptions options = plain();
  options.augment.flip_probability = 0.5;
  options.label_map = {-1, 0, -1};
  // The box never reaches the middle of the right half in frame 0..3 unless it is mirrored; compare with the original.
  const auto flipped = [](const FrameSample& frame) {
    const int64_t left = 8 + 4 * frame.number;
    return frame.masks[0].empty() ? -1 : frame.masks[0][20 * 96 + left] && frame.masks[0][20 * 96 + left + 29] ? 0 : 1;
  };
  const ClipSampler sampler(video_set(folder_), options, 3);
  int ones = 0, shown = 0;
  for (int64_t i = 0; i < 100; ++i) {
    std::set<int> kinds;
    for (const FrameSample& frame : sampler.sample(i).frames)
      if (const int kind = flipped(frame); kind >= 0) {
        kinds.insert(kind);
        ones += kind;
        ++shown;
      }
    EXPECT_LE(kinds.size(), 1u) << "all frames of a clip or none";
  }
  EXPECT_NEAR(static_cast<double>(ones) / shown, 0.5, 0.15);
}

TEST(DrawGeometryTest, CropAndRotationMoveOneWayThroughAClip) {
  AugmentOptions options = image_augmentation();
  options.crop_probability = 1;
  const media::Size frame{640, 480};
  int right = 0, left = 0, counter_clockwise = 0;
  double widest = 0;
  for (uint64_t key = 0; key < 200; ++key) {
    const std::vector<Geometry> clip = draw_geometry(options, frame, 4, {key});
    const bool rightwards = clip.front().window.x < clip.back().window.x;
    const bool turning = clip.front().angle < clip.back().angle;
    right += rightwards;
    left += clip.front().window.x > clip.back().window.x;
    counter_clockwise += turning;
    for (size_t f = 0; f < clip.size(); ++f) {
      const Window& w = clip[f].window;
      EXPECT_TRUE(w.x >= 0 && w.y >= 0 && w.x + w.width <= frame.width && w.y + w.height <= frame.height);
      EXPECT_LE(std::abs(clip[f].angle), 15 * std::numbers::pi / 180);
      EXPECT_EQ(clip[f].center_x, clip[0].center_x);
      EXPECT_EQ(clip[f].flip, clip[0].flip);
      EXPECT_EQ(clip[f].out, clip[0].out);
      if (f == 0) continue;
      const Window& before = clip[f - 1].window;
      EXPECT_TRUE(rightwards ? w.x >= before.x : w.x <= before.x);
      EXPECT_TRUE(turning ? clip[f].angle > clip[f - 1].angle : clip[f].angle < clip[f - 1].angle);
      // Down when right: the second corner lies to the right of the first one and below it.
      EXPECT_GE((w.x - before.x) * (w.y - before.y), 0);
      widest = std::max(widest, std::abs(clip[f].angle));
    }
  }
  EXPECT_GT(right, 50);
  EXPECT_GT(left, 50);
  EXPECT_NEAR(counter_clockwise / 200.0, 0.5, 0.12);
  EXPECT_GT(widest, 14 * std::numbers::pi / 180);
}

TEST_F(ClipSamplerTest, ImagesBecomeClipsOfTheirVariations) {
  ClipOptions options;
  options.augment = image_augmentation();
  options.augment.short_edges = {60, 90};
  const ClipSampler sampler(image_set(folder_), options, 2);
  std::set<int64_t> ids;
  for (int64_t i = 0; i < 30; ++i) {
    const ClipSample clip = sampler.sample(i);
    ids.insert(clip.video_id);
    ASSERT_EQ(clip.labels.size(), 1u);
    EXPECT_EQ(clip.labels[0], clip.video_id == 11 ? 0 : 1);  // bicycle (2), dog (7)
    EXPECT_NE(clip.frames[0].image.rgb, clip.frames[1].image.rgb);
    for (const FrameSample& frame : clip.frames) {
      EXPECT_EQ(frame.image.size(), clip.frames[0].image.size());
      EXPECT_GT(agreement(frame.image, frame.masks), 0.98);
    }
  }
  EXPECT_THAT(ids, ElementsAre(5, 11));  // image 12 is empty
}

TEST_F(ClipSamplerTest, CopyPasteAddsObjectsWithoutHidingTheOthers) {
  ClipOptions options = plain();
  options.copy_paste = CopyPasteOptions{};
  const auto data = image_set(folder_);
  const ClipSampler sampler(data, options, 4), without(data, plain(), 4);
  int pasted = 0, moved = 0;
  for (int64_t i = 0; i < 60; ++i) {
    const ClipSample clip = sampler.sample(i);
    const ClipSample original = without.sample(i);
    std::set<std::string> places;
    for (size_t f = 0; f < clip.frames.size(); ++f) {
      const FrameSample& frame = clip.frames[f];
      EXPECT_GT(agreement(frame.image, frame.masks), 0.98);
      for (size_t p = 0; p < frame.image.rgb.size() / 3; ++p) {
        int owners = 0;
        for (const Mask& mask : frame.masks) owners += !mask.empty() && mask[p];
        ASSERT_LE(owners, 1);
      }
      if (clip.labels.size() < 2) continue;
      const auto area = [](const Mask& m) { return std::accumulate(m.begin(), m.end(), 0); };
      if (clip.video_id == original.video_id) {
        EXPECT_GT(area(frame.masks[0]), area(original.frames[f].masks[0]) / 2);
      }
      if (!frame.masks[1].empty()) places.emplace(frame.masks[1].begin(), frame.masks[1].end());
    }
    pasted += !places.empty();
    moved += places.size() > 1;
  }
  EXPECT_GT(pasted, 15);
  EXPECT_GT(moved, 10);
}

TEST_F(ClipSamplerTest, ErrorsNameFileAndVideo) {
  const auto data = video_set(folder_);
  std::filesystem::remove(folder_.path() / "JPEGImages/deer/3.png");
  EXPECT_THAT(test::message_of<InputError>([&] { (void)data->load(0, std::vector<int64_t>{3}); }),
              ::testing::AllOf(HasSubstr("deer/3.png"), HasSubstr("video 7")));
  media::write_png(folder_ / "JPEGImages/deer/3.png", media::Image(64, 96));
  EXPECT_THAT(test::message_of<InputError>([&] { (void)data->load(0, std::vector<int64_t>{3}); }),
              ::testing::AllOf(HasSubstr("deer/3.png"), HasSubstr("video 7"), HasSubstr("64x96"), HasSubstr("96x64")));
}

TEST_F(ClipSamplerTest, RefusesImpossibleOptions) {
  const auto data = video_set(folder_);
  const auto message = [&](auto change) {
    ClipOptions options;
    change(options);
    return test::message_of<UsageError>([&] { ClipSampler(data, options, 1); });
  };
  EXPECT_THAT(message([](ClipOptions& o) { o.frames = 0; }), HasSubstr("frames"));
  EXPECT_THAT(message([](ClipOptions& o) { o.range = 0; }), HasSubstr("range"));
  EXPECT_THAT(message([](ClipOptions& o) { o.augment.short_edges.clear(); }), HasSubstr("short_edges"));
  EXPECT_THAT(message([](ClipOptions& o) { o.augment.crop_most = 10; }), HasSubstr("10"));
  EXPECT_THAT(message([](ClipOptions& o) { o.augment.flip_probability = 1.5; }), HasSubstr("1.5"));
  EXPECT_THAT(message([](ClipOptions& o) { o.copy_paste = CopyPasteOptions{}; }), HasSubstr("images"));
}

TEST(PseudoVideosTest, FramesAreThoseOfTheGenerator) {
  const pseudo::PseudoOptions options{.size = {96, 64}, .frames = 9, .seed = 12};
  const PseudoVideos data(options, 100);
  EXPECT_EQ(data.size(), 100);
  EXPECT_EQ(data.classes().size(), 8u);
  const std::vector<int64_t> frames{1, 6};
  const RawClip clip = data.load(42, frames);
  const pseudo::ProceduralObjects objects;
  const pseudo::ProceduralBackgrounds backgrounds;
  const pseudo::PseudoVideo video(options, 42, objects, backgrounds);
  const pseudo::PseudoFrame expected = video.render(6);
  EXPECT_EQ(clip.images[1].rgb, expected.image.rgb);
  size_t covered = 0, labelled = 0;
  for (const RawInstance& instance : clip.instances)
    for (const uint8_t byte : instance.masks[1]) covered += byte;
  for (const uint8_t label : expected.labels) labelled += label != 0;
  EXPECT_EQ(covered, labelled);
  EXPECT_GT(covered, 100u);
}

}  // namespace
}  // namespace visage::train
