#include "tests/support/files.h"
#include "tests/train/small_model.h"
#include "train/evaluation_set.h"
#include "train/trainer.h"

#include <gtest/gtest.h>

namespace visage {
namespace {

constexpr int kVideos = 2, kFrames = 6;

Config recipe() {
  Config config = test::small_config(16, 96);
  config.inference.shortest_edge = 96;
  config.inference.longest_edge = 192;
  config.train.steps = 200;
  config.train.decay_step = 160;
  config.train.warmup_steps = 50;
  config.train.num_points = 512;
  TrainDataConfig& data = config.train.data;
  data.flip_probability = 0;
  data.videos = kVideos;
  data.video_frames = kFrames;
  data.least_objects = data.most_objects = 2;
  return config;
}

// Losses, matching, gradients, optimizer, data and inference together: a model that sees the same two videos again and
// again has to know them by heart, outlines, classes and identities.
TEST(Overfit, TwoVideosAreLearnedByHeart) {
  const Config config = recipe();
  const int classes = config.model.detector.num_classes;
  const std::unique_ptr<Model> model = test::fresh_model(config);
  train::Trainer trainer(config, *model);

  const test::TemporaryFolder folder;
  const pseudo::PseudoOptions videos{.size = {config.train.data.width, config.train.data.height},
                                     .frames = kFrames,
                                     .seed = static_cast<std::uint64_t>(config.train.seed),
                                     .mode = pseudo::Mode::track,
                                     .least_objects = 2,
                                     .most_objects = 2};
  train::EvaluationSet set(videos, kVideos, folder / "videos");
  set.prepare(classes);
  train::SingleProcess alone;
  const auto score = [&] { return set.score(*model, config, alone, [](std::int64_t, std::int64_t) {}); };

  EXPECT_LT(score().ap, 0.1) << "before training";
  for (int step = 0; step < config.train.steps; ++step) (void)trainer.step();
  const train::EvaluationScore learned = score();
  EXPECT_GE(learned.ap, 0.95);
  EXPECT_GE(learned.hota, 0.95);
  EXPECT_EQ(learned.id_switches, 0);
}

}  // namespace
}  // namespace visage
