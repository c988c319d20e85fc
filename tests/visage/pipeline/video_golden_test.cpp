// From the frames of a clip to the final tracks, against the official implementation.
#include "nn/init/test_weights.h"
#include "ops/shape/views.h"
#include "tests/support/golden.h"
#include "tests/visage/model/golden_clip.h"
#include "visage/annotation/rle.h"
#include "visage/media/frame_source.h"
#include "visage/pipeline/track_assembler.h"
#include "visage/tracking/visage_tracker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace visage {
namespace {

using test::GoldenFile;

struct Case {
  const char* plan;
  const char* clip;
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.plan << "_" << c.clip; }

struct Outcome {
  std::vector<std::vector<int>> assignments;  // a frame
  std::vector<double> similarity;
  Tensor mean_logits;
  std::vector<pipeline::ScoredTrack> tracks;
  std::vector<std::vector<std::uint8_t>> masks;  // a track: [T, Ho, Wo]
};

class VideoGolden : public testing::TestWithParam<Case> {
 protected:
  VideoGolden() : golden(std::string("forward_") + GetParam().clip + ".safetensors") {}

  // The recorded output size; the images are tracked at the size they have.
  ops::ImageSize output_size() const {
    const Dims& size = golden.at("final/mask_logits").full_size;
    return {size[2], size[3]};
  }

  const Outcome& outcome() {
    static std::map<std::string, Outcome> done;
    const std::string key = std::string(GetParam().plan) + GetParam().clip;
    if (!done.contains(key)) done[key] = track();
    return done[key];
  }

  Outcome track() const {
    Model model{ModelConfig{}};
    nn::fill_test_weights(model.params(), test::golden_seed());
    const bool plain = GetParam().plan == std::string("plain");
    const auto detector = plain ? make_plain_detector(model) : make_fast_detector(model, Precision::f32);
    const Tensor images = test::clip_images(GetParam().clip);
    const Detection detection = detector->detect(images, nullptr);
    const media::Size image = media::open_source({.path = test::golden_dir() + "/" + GetParam().clip})->info().size;
    // The recorded run is the released code, so the released memory weighting.
    pipeline::TrackAssembler assembler(
        {}, std::make_unique<tracking::VisageTracker>(TrackingConfig{.weighting = MemoryWeighting::release}));
    Outcome out;
    for (std::int64_t t = 0; t < images.size(0); ++t) {
      (void)assembler.add(pipeline::query_frame(
          detection, t,
          {.padded = {images.size(1), images.size(2)}, .image = {image.height, image.width}, .output = output_size()}));
      out.assignments.push_back(assembler.assignment());
    }
    out.mean_logits = assembler.scores().mean_logits();
    assembler.for_each_track([&](const pipeline::VideoTrack& track) {
      out.tracks.push_back(track.scored);
      std::vector<std::uint8_t> video;
      for (std::int64_t t = 0; t < images.size(0); ++t) {
        const std::string counts = track.mask(t);
        const annotation::Rle rle =
            counts.empty() ? annotation::empty_rle(output_size().height, output_size().width)
                           : annotation::rle_from_string(output_size().height, output_size().width, counts);
        const std::vector<std::uint8_t> frame = annotation::decode_rows(rle);
        video.insert(video.end(), frame.begin(), frame.end());
      }
      out.masks.push_back(std::move(video));
    });
    return out;
  }

  GoldenFile golden;
};

TEST_P(VideoGolden, EveryAssignment) {
  const Tensor want = golden.load("track/indices"), gap = golden.load("track/gap");
  for (std::int64_t t = 0; t < want.size(0); ++t) {
    if (gap.data<float>()[t] < 1e-4f) continue;  // two assignments are equally good to within rounding
    for (std::int64_t slot = 0; slot < want.size(1); ++slot)
      EXPECT_EQ(outcome().assignments[t + 1][slot], want.data<std::int64_t>()[t * want.size(1) + slot])
          << "frame " << t + 1 << ", slot " << slot;
  }
}

TEST_P(VideoGolden, MeanLogits) {
  // A mask bit that rounds the other way (see golden_rows.h) moves a frame's row; the mean takes a part of it.
  const test::GoldenTensor& want = golden.at("final/logits_mean");
  std::int64_t off = 0;
  for (std::int64_t i = 0; i < want.values.numel(); ++i) {
    const double difference =
        std::abs(outcome().mean_logits.data<float>()[i * want.step] - want.values.data<float>()[i]);
    EXPECT_LE(difference, 0.05);
    off += difference > 20 * want.f32_error + 1e-6;
  }
  EXPECT_LE(off, want.values.numel() * 3 / 100);
}

// Pairs (flat index, score) whose order is not decided by rounding.
TEST_P(VideoGolden, ScoresAndLabels) {
  const Tensor index = golden.load("final/topk_index"), score = golden.load("final/score"),
               probability = golden.load("final/topk_score"), label = golden.load("final/label");
  const auto& tracks = outcome().tracks;
  ASSERT_EQ(static_cast<std::int64_t>(tracks.size()), index.numel());
  const std::int64_t classes = outcome().mean_logits.size(1) - 1, count = index.numel();
  const auto gap = [&](std::int64_t i, std::int64_t j) {
    return j < 0 || j >= count ? 1.0 : std::abs(probability.data<float>()[i] - probability.data<float>()[j]);
  };
  std::int64_t compared = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (gap(i, i - 1) < 1e-4 || gap(i, i + 1) < 1e-4 || i + 1 == count) continue;
    EXPECT_EQ(tracks[i].track * classes + tracks[i].label, index.data<std::int64_t>()[i]) << i;
    EXPECT_EQ(tracks[i].label, label.data<std::int64_t>()[i]) << i;
    EXPECT_NEAR(tracks[i].score, score.data<float>()[i], 2e-4) << i;
    ++compared;
  }
  EXPECT_GE(compared, count / 2);
}

TEST_P(VideoGolden, Masks) {
  const Tensor bits = golden.load("final/mask_bits"), shape = golden.load("final/mask_shape"),
               index = golden.load("final/topk_index");
  const std::int64_t classes = outcome().mean_logits.size(1) - 1;
  std::map<std::int64_t, const std::vector<std::uint8_t>*> by_pair;
  for (std::size_t i = 0; i < outcome().tracks.size(); ++i)
    by_pair[outcome().tracks[i].track * classes + outcome().tracks[i].label] = &outcome().masks[i];
  const std::int64_t pixels =
      shape.data<std::int64_t>()[1] * shape.data<std::int64_t>()[2] * shape.data<std::int64_t>()[3];
  std::int64_t wrong = 0, missing = 0;
  for (std::int64_t i = 0; i < index.numel(); ++i) {
    const auto found = by_pair.find(index.data<std::int64_t>()[i]);
    if (found == by_pair.end()) {
      ++missing;  // the last place may be a tie of rounding
      continue;
    }
    ASSERT_EQ(static_cast<std::int64_t>(found->second->size()), pixels);
    for (std::int64_t p = 0; p < pixels; ++p) {
      const std::int64_t bit = i * pixels + p;
      const bool want = bits.data<std::uint8_t>()[bit / 8] >> (7 - bit % 8) & 1;
      wrong += want != ((*found->second)[p] != 0);
    }
  }
  EXPECT_LE(missing, 1);
  // One pixel in a million by rounding, and those of a frame whose attention mask rounded the other way.
  EXPECT_LE(wrong, index.numel() * pixels / 20000);
}

INSTANTIATE_TEST_SUITE_P(Plans, VideoGolden,
                         testing::Values(Case{"plain", "clip6"}, Case{"plain", "clip2"}, Case{"fast", "clip6"},
                                         Case{"fast", "clip2"}),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace visage
