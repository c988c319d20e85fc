#include "visage/tracking/detections.h"

#include "tests/support/files.h"
#include "tests/support/values.h"
#include "tests/visage/tracking/constructed_frame.h"
#include "visage/tracking/rows.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

namespace visage::tracking {
namespace {

using test::ConstructedFrame;
using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;
using visage::test::message_of;

Detections read(const FrameQueries& frame, Embedding embedding, double alpha = 0.75, Scale scale = Scale::raw) {
  return read_detections(frame, embedding, alpha, scale, 3);
}

TEST(Detections, HaveTheChosenEmbeddingTheirScoreAndTheirClass) {
  const ConstructedFrame frame({{.score = 0.9, .embedding = {3, 4}, .label = 2}, {.score = 0.25, .embedding = {0, 0}}});
  const Detections object = read(frame, Embedding::object);
  EXPECT_THAT(row_of(object.embedding, 0), ElementsAre(3, 4));
  EXPECT_THAT(object.scores, ElementsAre(FloatNear(0.9f, 1e-6f), FloatNear(0.25f, 1e-6f)));
  EXPECT_THAT(object.labels, ElementsAre(2, 0));
  EXPECT_THAT(row_of(read(frame, Embedding::appearance).embedding, 0), ElementsAre(4, 3));
  const Detections unit = read(frame, Embedding::object, 0.75, Scale::unit);
  EXPECT_THAT(row_of(unit.embedding, 0), ElementsAre(FloatNear(0.6f, 1e-6f), FloatNear(0.8f, 1e-6f)));
  EXPECT_THAT(row_of(unit.embedding, 1), ElementsAre(0, 0)) << "a row of zeros stays";
}

TEST(Detections, ProductsOfBothAreWeightedByAlpha) {
  const ConstructedFrame frame({{.score = 0.9, .embedding = {3, 4}}, {.score = 0.9, .embedding = {1, 0}}});
  const Tensor both = read(frame, Embedding::both, 0.25).embedding;
  const auto a = row_of(both, 0), b = row_of(both, 1);
  ASSERT_EQ(a.size(), 4u);
  double product = 0;
  for (std::size_t d = 0; d < a.size(); ++d) product += static_cast<double>(a[d]) * b[d];
  EXPECT_NEAR(product, 0.75 * 3 + 0.25 * 4 * 0 + 0.25 * 3 * 1, 1e-6);  // appearance: (4, 3) and (0, 1)
}

TEST(Detections, RefuseWhatCannotBeCompared) {
  const ConstructedFrame constructed({{.score = 0.9, .embedding = {3, 4}}});
  FrameQueries frame = constructed;
  EXPECT_THAT(message_of<ShapeError>([&] { (void)read(frame, Embedding::decoder); }),
              HasSubstr("tracker: frame 3: decoder must be"));
  frame.object.data<float>()[1] = std::numeric_limits<float>::infinity();
  EXPECT_NO_THROW((void)read(frame, Embedding::appearance));
  EXPECT_THAT(message_of<Error>([&] { (void)read(frame, Embedding::both); }),
              HasSubstr("frame 3: object has a value that is not finite"));
}

TEST(BestFirst, SortsWhatExceedsTheLeastScore) {
  EXPECT_THAT(best_first(std::vector<float>{0.25f, 0.5f, 0.75f, 0.5f}, 0.25), ElementsAre(2, 1, 3));
}

TEST(MaskOverlaps, AreIntersectionOverUnion) {
  const ConstructedFrame frame({{.score = 0.5, .embedding = {1}, .begin = 0, .end = 30},
                                {.score = 0.5, .embedding = {1}, .begin = 10, .end = 40},
                                {.score = 0.5, .embedding = {1}, .begin = 60, .end = 64},
                                {.score = 0.5, .embedding = {1}}});
  const FrameQueries queries = frame;
  const MaskOverlaps overlaps(queries.masks, 4);
  const std::vector<int> second = {1}, others = {3, 2, 1};
  EXPECT_TRUE(overlaps.exceed(0.49, 0, second));  // 20 of 40
  EXPECT_FALSE(overlaps.exceed(0.5, 0, second));
  EXPECT_TRUE(overlaps.exceed(0.49, 0, others));
  EXPECT_FALSE(overlaps.exceed(0, 2, std::vector<int>{0, 1, 3}));
  EXPECT_FALSE(overlaps.exceed(0, 3, std::vector<int>{3})) << "no pixel, no overlap";
  EXPECT_THAT(message_of<ShapeError>([&] { MaskOverlaps({}, 4); }), HasSubstr("needs a mask for each of the 4"));
}

}  // namespace
}  // namespace visage::tracking
