#include "visage/pipeline/mask_spool.h"

#include <gtest/gtest.h>

namespace visage::pipeline {
namespace {

TEST(MaskSpool, GivesBackWhatEachTrackHadInEachFrame) {
  MaskSpool spool;
  const MaskSpool::Entry first[] = {{.track = 0, .mask = "abc"}, {.track = 70000, .mask = "d"}};
  const MaskSpool::Entry third[] = {{.track = 2, .mask = "efgh"}};
  spool.append(first);
  spool.append({});
  spool.append(third);
  EXPECT_EQ(spool.frames(), 3);
  EXPECT_EQ(spool.read(0, 0), "abc");
  EXPECT_EQ(spool.read(0, 1), "");
  EXPECT_EQ(spool.read(0, 70000), "d");
  EXPECT_EQ(spool.read(0, 70001), "");
  EXPECT_EQ(spool.read(1, 0), "");
  EXPECT_EQ(spool.read(2, 2), "efgh");
  EXPECT_EQ(spool.read(2, 0), "");
  EXPECT_THROW((void)spool.read(3, 0), std::out_of_range);
}

}  // namespace
}  // namespace visage::pipeline
