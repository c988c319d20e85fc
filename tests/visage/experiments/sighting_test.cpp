#include "visage/experiments/sighting.h"

#include "tensor/error.h"

#include <gtest/gtest.h>

namespace visage::experiments {
namespace {

Tensor matrix(const std::vector<std::vector<float>>& rows) {
  Tensor result = Tensor::empty({std::ssize(rows), std::ssize(rows.front())}, DType::f32);
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy(rows[i].begin(), rows[i].end(), result.data<float>() + i * rows[i].size());
  return result;
}

// Two objects and a query for nothing. Object embeddings say where a query is, appearance embeddings what it shows.
Sighting sighting(std::vector<int> object_of_query, const std::vector<std::vector<float>>& appearance) {
  Sighting result{
      .queries = {matrix({{1, 0}, {1, 0}, {0, 1}}), matrix({{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}), matrix(appearance)},
      .object_of_query = object_of_query,
      .query_of_object = {-1, -1}};
  for (int query = 0; query < 3; ++query)
    if (const int object = object_of_query[query]; object >= 0) result.query_of_object[object] = query;
  return result;
}

const Sighting kBefore = sighting({0, 1, -1}, {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}});
const Sighting kMirrored = sighting({1, 0, -1}, {{0, 1, 0}, {1, 0, 0}, {0, 0, 1}});

TEST(FindAgain, PlaceExchangesAndAppearanceKeeps) {
  const FoundAgain by_place = find_again(kBefore, kMirrored, 0), by_looks = find_again(kBefore, kMirrored, 1);
  EXPECT_EQ(by_place.objects, 2);
  EXPECT_EQ(by_place.kept, 0);
  EXPECT_EQ(by_place.exchanged, 2);
  EXPECT_EQ(by_looks.kept, 2);
  EXPECT_EQ(by_looks.exchanged, 0);
  EXPECT_EQ(find_again(kBefore, kMirrored, 0.75).kept, 2) << "what weighs more decides";
  EXPECT_EQ(find_again(kBefore, kMirrored, 0.25).kept, 0);
  EXPECT_EQ(find_again(kBefore, kBefore, 0).kept, 2);
}

TEST(FindAgain, ATrackThatEndsOnNothingIsNeither) {
  const Sighting lost = sighting({0, -1, 1}, {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}});
  const FoundAgain found = find_again(kBefore, lost, 1);
  EXPECT_EQ(found.objects, 2);
  EXPECT_EQ(found.kept, 1);
  EXPECT_EQ(found.exchanged, 0);
}

TEST(FindAgain, NeedsTwoObjects) {
  Sighting one = kMirrored;
  one.query_of_object[1] = -1;
  EXPECT_EQ(find_again(kBefore, one, 1).objects, 0);
  one.query_of_object.pop_back();
  EXPECT_THROW(static_cast<void>(find_again(kBefore, one, 1)), ShapeError);
}

// Masks are columns of a frame 10 wide and 1 high.
annotation::Rle columns(int first, int count) {
  return annotation::rle_from_counts(1, 10, std::vector<std::int64_t>{first, count, 10 - first - count});
}

TEST(Sight, GivesEveryObjectItsBestQuery) {
  pipeline::QueryFrame frame;
  frame.size = {1, 10};
  frame.queries.logits = matrix({{0, 0}, {2, 0}, {5, 0}, {9, 0}, {9, 0}});
  for (const annotation::Rle& mask : {columns(0, 4), columns(0, 3), columns(0, 1), columns(5, 5)})
    frame.run_lengths.push_back(annotation::to_string(mask));
  frame.run_lengths.push_back("");
  const std::optional<annotation::Rle> truth[] = {columns(0, 4), columns(5, 4), std::nullopt};
  const Sighting seen = sight(frame, truth);
  EXPECT_EQ(seen.object_of_query, (std::vector<int>{0, 0, -1, 1, -1}));
  EXPECT_EQ(seen.query_of_object, (std::vector<int>{1, 3, -1})) << "query 1 is surer than query 0";
}

}  // namespace
}  // namespace visage::experiments
