// Which frames are put together, computed once, and visited, and which track gets which query.
#include "visage/pipeline/chunk_detector.h"

#include <gmock/gmock.h>

#include <cmath>

namespace visage::pipeline {
namespace {

using testing::Each;
using testing::ElementsAre;

constexpr int kSide = 32, kQueries = 2, kClasses = 1;

/// Frame t has the grey level 10 t, which stands for the frame in what follows.
media::Frame frame(int t, int width = kSide) {
  media::Image image;
  image.width = width;
  image.height = kSide;
  image.rgb.assign(static_cast<std::size_t>(3) * width * kSide, static_cast<std::uint8_t>(10 * t));
  return {.image = std::move(image), .name = std::to_string(t), .index = t};
}

/// The map of a frame is its number. Query 0 is an object on the left half of every frame, query 1 on the right half;
/// in every second clip it is the other way round.
class ScriptedDetector final : public ClipDetector {
 public:
  Device device() const override { return {}; }

  std::vector<Tensor> features(const Tensor& images) override {
    const Tensor map = Tensor::empty({images.size(0), 1});
    const std::int64_t image = images.numel() / images.size(0);
    for (std::int64_t n = 0; n < images.size(0); ++n)
      map.data<float>()[n] = std::round((images.data<float>()[n * image] * 58.395f + 123.675f) / 10);
    passes.push_back(static_cast<int>(images.size(0)));
    return {map};
  }

  ClipDetection detect(std::span<const Tensor> features, DecoderOutput*) override {
    const std::int64_t frames = features[0].size(0);
    const float* const numbers = features[0].data<float>();
    clips.emplace_back(numbers, numbers + frames);
    const Tensor logits = Tensor::zeros({1, kQueries, kClasses + 1}), decoder = Tensor::ones({1, kQueries, 4});
    const std::int64_t side = kSide / 4;
    const Tensor masks = Tensor::empty({frames, kQueries, side, side});
    const bool turned = clips.size() % 2 == 0;
    for (std::int64_t i = 0; i < masks.numel(); ++i) {
      const bool right = i % side >= side / 2, second = i / (side * side) % kQueries == 1;
      masks.data<float>()[i] = (right == second) != turned ? 5.f : -5.f;
    }
    return {logits, masks, decoder};
  }

  std::vector<int> passes;                // frames of each call of features()
  std::vector<std::vector<float>> clips;  // the frames of each call of detect()
};

struct Visits {
  std::vector<std::string> names;
  std::vector<bool> left;  // whether track 0 is on the left
  FrameVisitor visitor() {
    return [this](const media::Frame& frame, const QueryFrame& queries) {
      names.push_back(frame.name);
      left.push_back((queries.masks.at(queries.tracks.value().query_of_track.at(0)).bits.at(0) & 1) != 0);
    };
  }
};

ChunkOptions chunks_of(int frames, int overlap, int window = 1) {
  return {.shortest_edge = kSide, .longest_edge = 4 * kSide, .window = window, .frames = frames, .overlap = overlap};
}

TEST(ChunkDetector, ChunksOverlapAndEveryFrameIsVisitedOnce) {
  ScriptedDetector network;
  ChunkDetector chunks(network, chunks_of(4, 2));
  Visits visits;
  for (int t = 0; t < 9; ++t) {
    chunks.feed(frame(t), visits.visitor());
    EXPECT_EQ(visits.names.size(), t < 3 ? 0 : t < 5 ? 4 : t < 7 ? 6 : 8) << "after frame " << t;
  }
  chunks.flush(visits.visitor());
  EXPECT_THAT(network.clips, ElementsAre(ElementsAre(0, 1, 2, 3), ElementsAre(2, 3, 4, 5), ElementsAre(4, 5, 6, 7),
                                         ElementsAre(6, 7, 8)));
  EXPECT_THAT(network.passes, Each(1)) << "no frame passes the backbone twice";
  EXPECT_EQ(network.passes.size(), 9u);
  EXPECT_THAT(visits.names, ElementsAre("0", "1", "2", "3", "4", "5", "6", "7", "8"));
  EXPECT_THAT(visits.left, Each(true)) << "queries change places from chunk to chunk, tracks do not";
}

TEST(ChunkDetector, AShortVideoIsOneClip) {
  ScriptedDetector network;
  ChunkDetector chunks(network, chunks_of(4, 1));
  Visits visits;
  for (int t = 0; t < 4; ++t) chunks.feed(frame(t), visits.visitor());
  chunks.flush(visits.visitor());
  EXPECT_THAT(network.clips, ElementsAre(ElementsAre(0, 1, 2, 3))) << "nothing is left for a second one";
  for (int t = 5; t < 7; ++t) chunks.feed(frame(t), visits.visitor());
  chunks.flush(visits.visitor());
  EXPECT_THAT(network.clips.back(), ElementsAre(5, 6)) << "the next video does not share frames with this one";
  chunks.flush(visits.visitor());
  EXPECT_EQ(network.clips.size(), 2u);
  EXPECT_THAT(visits.names, ElementsAre("0", "1", "2", "3", "5", "6"));
}

TEST(ChunkDetector, WindowsPassTheBackboneTogether) {
  ScriptedDetector network;
  ChunkDetector chunks(network, chunks_of(5, 1, 3));
  Visits visits;
  for (int t = 0; t < 10; ++t) chunks.feed(frame(t), visits.visitor());
  chunks.flush(visits.visitor());
  EXPECT_THAT(network.clips, ElementsAre(ElementsAre(0, 1, 2, 3, 4), ElementsAre(4, 5, 6, 7, 8), ElementsAre(8, 9)));
  EXPECT_THAT(network.passes, ElementsAre(3, 2, 3, 1, 1));
}

// A chunk may be long to take any video whole; what is kept is that of the frames there are.
TEST(ChunkDetector, ALongChunkCostsAShortVideoNothing) {
  ScriptedDetector network;
  ChunkDetector chunks(network, chunks_of(1000000000, 0));
  Visits visits;
  for (int t = 0; t < 5; ++t) chunks.feed(frame(t), visits.visitor());
  chunks.flush(visits.visitor());
  EXPECT_THAT(network.clips, ElementsAre(ElementsAre(0, 1, 2, 3, 4)));
}

TEST(ChunkDetector, ChunksNeedNotOverlap) {
  ScriptedDetector network;
  ChunkDetector chunks(network, chunks_of(2, 0));
  Visits visits;
  for (int t = 0; t < 4; ++t) chunks.feed(frame(t), visits.visitor());
  EXPECT_THAT(network.clips, ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3)));
}

TEST(ChunkDetector, VideosMayDifferInSizeFramesOfOneMayNot) {
  ScriptedDetector network;
  ChunkDetector chunks(network, chunks_of(4, 1));
  Visits visits;
  EXPECT_EQ(chunks.mask_sizes().output.width, 0);
  chunks.feed(frame(0), visits.visitor());
  EXPECT_THROW(chunks.feed(frame(1, 64), visits.visitor()), InputError);
  chunks.flush(visits.visitor());
  chunks.feed(frame(2, 64), visits.visitor());
  EXPECT_EQ(chunks.mask_sizes().output.width, 64);
  EXPECT_THAT(visits.names, ElementsAre("0"));
}

TEST(ChunkDetector, RefusesImpossibleOptions) {
  ScriptedDetector network;
  for (const ChunkOptions& options : {chunks_of(0, 0), chunks_of(4, 3), chunks_of(4, -1), chunks_of(4, 1, 0)})
    EXPECT_THROW(ChunkDetector(network, options), UsageError);
}

}  // namespace
}  // namespace visage::pipeline
