#include "visage/tracking/chunk_stitcher.h"

#include "tests/visage/tracking/constructed_frame.h"

#include <gmock/gmock.h>

namespace visage::tracking {
namespace {

using test::ConstructedFrame;
using testing::ElementsAre;

// Queries with these embeddings, and a mask of 64 pixels for each.
FrameQueries queries_of(const ConstructedFrame& frame) {
  FrameQueries queries = frame;
  queries.decoder = queries.object;
  return queries;
}
ConstructedFrame with_embeddings(const std::vector<std::vector<double>>& embeddings) {
  std::vector<test::Query> queries;
  for (const auto& embedding : embeddings) queries.push_back({.score = 0.9, .embedding = embedding});
  return ConstructedFrame(queries);
}
const ConstructedFrame kAlike = with_embeddings({{1, 0}, {1, 0}, {1, 0}});
const ConstructedFrame kDistinct = with_embeddings({{1, 0, 0}, {0, 1, 0}, {0, 0, 1}});

// One mask a query: pixels [first, last) of 64; {0, 0} is empty.
FrameMasks masks_of(const std::vector<std::pair<int, int>>& pixels) {
  std::vector<test::Query> queries;
  for (const auto& [first, last] : pixels)
    queries.push_back({.score = 0.9, .embedding = {1}, .begin = first, .end = last});
  const ConstructedFrame frame(queries);
  const FrameQueries made = frame;
  return {made.masks.begin(), made.masks.end()};
}

std::vector<int> second_chunk(const ConstructedFrame& before, std::vector<FrameMasks> last, const ConstructedFrame& now,
                              const std::vector<FrameMasks>& shared) {
  ChunkStitcher stitcher;
  EXPECT_THAT(stitcher.begin_chunk(queries_of(before), {}), ElementsAre(0, 1, 2));
  stitcher.end_chunk(std::move(last));
  return stitcher.begin_chunk(queries_of(now), shared);
}

TEST(ChunkStitcher, MasksSayWhoIsWho) {
  EXPECT_THAT(
      second_chunk(kAlike, {masks_of({{0, 8}, {10, 20}, {30, 40}})}, kAlike, {masks_of({{31, 40}, {0, 7}, {10, 19}})}),
      ElementsAre(1, 2, 0));
}

// 8 of 20 pixels in common against a cosine that is better by 0.9 for the crossed pairs.
TEST(ChunkStitcher, MasksOutweighQueries) {
  const ConstructedFrame like_the_other = with_embeddings({{0.1, 1, 0}, {1, 0.1, 0}, {0, 0, 1}});
  EXPECT_THAT(second_chunk(kDistinct, {masks_of({{0, 14}, {30, 44}, {0, 0}})}, like_the_other,
                           {masks_of({{6, 20}, {36, 50}, {0, 0}})}),
              ElementsAre(0, 1, 2));
}

// Three queries without an object would all be happier if the object went on as one of them.
TEST(ChunkStitcher, QueriesWithoutAnObjectDoNotOutvoteOneThatHasIt) {
  const auto frame = [](const std::vector<std::vector<double>>& embeddings) {
    std::vector<test::Query> queries;
    for (const auto& embedding : embeddings)
      queries.push_back({.score = queries.empty() ? 0.9 : 0.01, .embedding = embedding});
    return ConstructedFrame(queries);
  };
  const ConstructedFrame before = frame({{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}});
  const ConstructedFrame now = frame({{0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}, {1, 0, 0, 0}});
  ChunkStitcher stitcher;
  (void)stitcher.begin_chunk(queries_of(before), {});
  stitcher.end_chunk({masks_of({{0, 14}, {0, 0}, {0, 0}, {0, 0}})});
  EXPECT_EQ(
      stitcher.begin_chunk(queries_of(now), std::vector<FrameMasks>{masks_of({{6, 20}, {0, 0}, {0, 0}, {0, 0}})})[0],
      0);
}

TEST(ChunkStitcher, TheHiddenAreKnownByTheirQueries) {
  const ConstructedFrame turned = with_embeddings({{0, 0, 3}, {5, 0.1, 0}, {0, 2, 0}});
  EXPECT_THAT(
      second_chunk(kDistinct, {masks_of({{0, 0}, {0, 0}, {0, 0}})}, turned, {masks_of({{0, 0}, {0, 0}, {0, 0}})}),
      ElementsAre(1, 2, 0));
  EXPECT_THAT(second_chunk(kDistinct, {}, turned, {}), ElementsAre(1, 2, 0)) << "no shared frame";
}

// Query 0 meets query 1's old place in the first frame for 2 pixels, its own in the second for 20.
TEST(ChunkStitcher, PixelsOfAllSharedFramesCountTogether) {
  EXPECT_THAT(second_chunk(kAlike, {masks_of({{0, 2}, {4, 6}, {60, 64}}), masks_of({{0, 20}, {30, 50}, {60, 64}})},
                           kAlike, {masks_of({{4, 6}, {0, 2}, {60, 64}}), masks_of({{0, 20}, {30, 50}, {60, 64}})}),
              ElementsAre(0, 1, 2));
}

TEST(ChunkStitcher, TracksGoOnThroughManyChunks) {
  ChunkStitcher stitcher;
  const std::vector<FrameMasks> places{masks_of({{0, 8}, {10, 18}, {20, 28}})},
      rotated{masks_of({{20, 28}, {0, 8}, {10, 18}})};
  (void)stitcher.begin_chunk(queries_of(kAlike), {});
  stitcher.end_chunk(places);
  EXPECT_THAT(stitcher.begin_chunk(queries_of(kAlike), rotated), ElementsAre(1, 2, 0));
  stitcher.end_chunk(places);
  EXPECT_THAT(stitcher.begin_chunk(queries_of(kAlike), rotated), ElementsAre(2, 0, 1));
  stitcher.reset();
  EXPECT_THAT(stitcher.begin_chunk(queries_of(kAlike), {}), ElementsAre(0, 1, 2));
}

TEST(ChunkStitcher, RefusesWhatDoesNotFit) {
  ChunkStitcher stitcher;
  (void)stitcher.begin_chunk(queries_of(kAlike), {});
  stitcher.end_chunk({masks_of({{0, 8}, {10, 18}, {20, 28}})});
  EXPECT_THROW((void)stitcher.begin_chunk(queries_of(kAlike), {}), ShapeError);
  EXPECT_THROW((void)stitcher.begin_chunk(queries_of(with_embeddings({{1, 0}})), {}), ShapeError);
}

}  // namespace
}  // namespace visage::tracking
