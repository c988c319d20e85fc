#include "train/data/sources.h"

#include "tensor/error.h"

#include <gtest/gtest.h>

namespace visage::train {
namespace {

Config synthetic() {
  Config config;
  config.model.detector.num_classes = 8;
  config.train.data.width = 96;
  config.train.data.height = 64;
  return config;
}

TEST(Sources, ProceduralVideosHaveEightClasses) {
  const std::vector<Source> sources = make_sources(synthetic());
  ASSERT_EQ(sources.size(), 1u);
  EXPECT_EQ(sources[0].dataset->classes().size(), 8u);
}

TEST(Sources, RefuseDataOfOtherClassesThanTheModel) {
  Config config = synthetic();
  config.model.detector.num_classes = 5;
  EXPECT_THROW((void)make_sources(config), UsageError);
}

}  // namespace
}  // namespace visage::train
