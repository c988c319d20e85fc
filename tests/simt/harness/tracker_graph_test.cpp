// The tracker step as part of a graph: one node, replayed for every frame of a video.
#include "ops/track/tracker_step.h"
#include "simt/control.h"
#include "tensor/cuda/graph.h"
#include "tensor/cuda/pinned.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage::ops {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};

TrackerFrame random_frame(std::uint64_t seed, Device device) {
  return {test::on(test::random_normal({9, 5}, seed), device), test::on(test::random_normal({9, 12}, seed + 1), device),
          test::on(test::random_normal({9, 8}, seed + 2), device)};
}

TEST(TrackerGraph, TracksAVideoByReplayingOneNode) {
  for (const simt::Streams streams : {simt::Streams::eager, simt::Streams::lazy}) {
    const simt::Streams previous = simt::set_streams(streams);
    const TrackerSizes sizes{9, 5, 12, 8, 3};
    const TrackerState here = make_tracker_state(sizes), there = make_tracker_state(sizes, kCuda);
    const TrackerFrame place = random_frame(1, kCuda);
    const cuda::Graph graph([&] { tracker_step(there, place); });
    EXPECT_EQ(graph.node_count(), 1u);
    for (int video = 0; video < 2; ++video) {
      for (int t = 0; t < 6; ++t) {
        tracker_step(here, random_frame(10 * t, {}));
        const TrackerFrame frame = random_frame(10 * t, kCuda);
        cuda::copy_async(frame.logits, place.logits);
        cuda::copy_async(frame.object, place.object);
        cuda::copy_async(frame.appearance, place.appearance);
        graph.launch();
        EXPECT_EQ(test::values_of(there.assignment), test::values_of(here.assignment));
        EXPECT_NEAR(test::values_of(there.outcome)[0], test::values_of(here.outcome)[0], 1e-5);
      }
      reset_tracker(here);
      reset_tracker(there);
    }
    simt::set_streams(previous);
  }
}

}  // namespace
}  // namespace visage::ops
