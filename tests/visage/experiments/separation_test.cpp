#include "visage/experiments/separation.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage::experiments {
namespace {

// Directions in the plane, in degrees.
void add(ObjectRows& rows, double degrees, int object, int video) {
  const double angle = degrees * std::acos(-1) / 180;
  const float row[] = {static_cast<float>(3 * std::cos(angle)), static_cast<float>(3 * std::sin(angle))};
  rows.add(row, object, video);
}

TEST(Separation, OfObjectsThatAreApart) {
  ObjectRows rows{.depth = 2};
  for (const double degrees : {0.0, 10.0}) add(rows, degrees, 0, 0);
  for (const double degrees : {90.0, 100.0}) add(rows, degrees, 1, 0);
  const Separation result = separation_of(rows);
  EXPECT_EQ(result.rows, 4);
  EXPECT_EQ(result.ordered, 1);
  const auto cosine = [](double degrees) { return std::cos(degrees * std::acos(-1) / 180); };
  const double within = 1 - cosine(10);
  const double outer = 1 - (cosine(90) + cosine(100)) / 2, inner = 1 - (cosine(80) + cosine(90)) / 2;
  EXPECT_NEAR(result.silhouette, ((outer - within) / outer + (inner - within) / inner) / 2, 1e-6);
}

TEST(Separation, OfObjectsThatTradedPlaces) {
  ObjectRows rows{.depth = 2};
  for (int object = 0; object < 2; ++object) {
    add(rows, object == 0 ? 0 : 90, object, 0);
    add(rows, object == 0 ? 90 : 0, object, 0);
  }
  const Separation result = separation_of(rows);
  EXPECT_NEAR(result.ordered, 0.25, 1e-6) << "the wrong row is nearest, the other one as far";
  EXPECT_LT(result.silhouette, 0);
}

TEST(Separation, IsWithinVideos) {
  ObjectRows rows{.depth = 2};
  for (const double degrees : {0.0, 10.0}) add(rows, degrees, 0, 0);
  for (const double degrees : {0.0, 10.0}) add(rows, degrees, 1, 1);
  EXPECT_EQ(separation_of(rows).rows, 0) << "one object a video: nothing to confuse";
  add(rows, 90, 2, 0);
  EXPECT_EQ(separation_of(rows).rows, 2) << "the new object has one row only";
}

}  // namespace
}  // namespace visage::experiments
