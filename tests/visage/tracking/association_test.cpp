#include "visage/tracking/association.h"

#include "tensor/error.h"
#include "tests/support/values.h"

#include <gmock/gmock.h>

#include <cmath>

namespace visage::tracking {
namespace {

using testing::ElementsAre;
using visage::test::tensor_of;

TEST(BiSoftmax, IsTheMeanOfBothSides) {
  // <detection, track> = 1 2 / 3 5
  const Tensor match =
      bi_softmax(tensor_of({2, 1}, std::vector<double>{1, 1}), tensor_of({3, 1}, std::vector<double>{1, 2, 2}));
  const double e = std::exp(1.0), row = e / (e + 2 * e * e);
  EXPECT_NEAR(match.data<float>()[0], (row + 0.5) / 2, 1e-6);
  EXPECT_NEAR(match.data<float>()[1], ((1 - row) / 2 + 0.5) / 2, 1e-6);
  const Tensor sure = bi_softmax(tensor_of({2, 2}, std::vector<double>{500, 0, 0, 500}),
                                 tensor_of({2, 2}, std::vector<double>{500, 0, 0, 500}));
  EXPECT_THAT(visage::test::values_of(sure), ElementsAre(1, 0, 0, 1)) << "large products do not overflow";
}

TEST(BiSoftmax, RefusesProductsThatOverflow) {
  const Tensor huge = tensor_of({1, 1}, std::vector<double>{1e30});
  EXPECT_THROW((void)bi_softmax(huge, huge), Error);
}

TEST(Assignment, GreedyTakesWhatTheFirstWantsAndHungarianTheGreatestSum) {
  const Tensor match = tensor_of({2, 2}, std::vector<double>{0.9, 0.8, 0.7, 0.1});
  EXPECT_THAT(assign_greedily(match, 0, std::vector<double>{1, 1}), ElementsAre(0, 1));
  EXPECT_THAT(assign_optimally(match, 0), ElementsAre(1, 0));
}

TEST(Assignment, PairsMustExceedTheLeastMatch) {
  const Tensor match = tensor_of({2, 2}, std::vector<double>{0.9, 0.8, 0.7, 0.5});
  EXPECT_THAT(assign_greedily(match, 0.5, std::vector<double>{1, 1}), ElementsAre(0, -1));
  EXPECT_THAT(assign_optimally(match, 0.75), ElementsAre(1, -1));
}

TEST(Assignment, WeightsDecideAmongTheColumnsThatMatchWellEnough) {
  const Tensor match = tensor_of({1, 3}, std::vector<double>{0.6, 0.55, 0.4});
  EXPECT_THAT(assign_greedily(match, 0.5, std::vector<double>{1, 4, 100}), ElementsAre(1));
  EXPECT_THAT(assign_greedily(match, 0.5, std::vector<double>{1, 1, 1}), ElementsAre(0));
}

TEST(Assignment, MoreRowsThanColumns) {
  const Tensor match = tensor_of({3, 1}, std::vector<double>{0.2, 0.6, 0.9});
  EXPECT_THAT(assign_greedily(match, 0.5, std::vector<double>{1}), ElementsAre(-1, 0, -1));
  EXPECT_THAT(assign_optimally(match, 0.5), ElementsAre(-1, -1, 0));
}

}  // namespace
}  // namespace visage::tracking
