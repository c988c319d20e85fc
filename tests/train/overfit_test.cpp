#include "nn/init/init.h"
#include "tests/support/files.h"
#include "train/evaluation_set.h"
#include "train/trainer.h"

#include <gtest/gtest.h>

namespace visage {
namespace {

constexpr int kVideos = 2, kFrames = 6;

Config small_model() {
  Config config;
  config.model.backbone = {.depth = 18, .width = 16};
  config.model.detector = {.num_classes = 8,
                           .num_queries = 8,
                           .hidden = 64,
                           .heads = 4,
                           .levels = 3,
                           .points = 2,
                           .encoder_layers = 1,
                           .encoder_ffn = 128,
                           .decoder_layers = 3,
                           .decoder_ffn = 128};
  config.inference.shortest_edge = 96;
  config.inference.longest_edge = 192;
  config.train.steps = 200;
  config.train.clips = 2;
  config.train.frames = 2;
  config.train.learning_rate = 1e-3;
  config.train.backbone_factor = 1;
  config.train.clip_norm = 1;
  config.train.decay_step = 160;
  config.train.warmup_steps = 50;
  config.train.num_points = 512;
  TrainDataConfig& data = config.train.data;
  data.least_edge = data.most_edge = 96;
  data.crop_probability = data.flip_probability = 0;
  data.width = 144;
  data.height = 96;
  data.videos = kVideos;
  data.video_frames = kFrames;
  data.least_objects = data.most_objects = 2;
  return config;
}

// Losses, matching, gradients, optimizer, data and inference together: a model that sees the same two videos again and
// again has to know them by heart, outlines, classes and identities.
TEST(Overfit, TwoVideosAreLearnedByHeart) {
  const Config config = small_model();
  const int classes = config.model.detector.num_classes;
  Model model(config.model);
  nn::initialise(model.params(), {.seed = 1, .heads = 4, .points = 2});
  train::Trainer trainer(config, model);

  const test::TemporaryFolder folder;
  const pseudo::PseudoOptions videos{.size = {config.train.data.width, config.train.data.height},
                                     .frames = kFrames,
                                     .seed = static_cast<std::uint64_t>(config.train.seed),
                                     .mode = pseudo::Mode::track,
                                     .least_objects = 2,
                                     .most_objects = 2};
  train::EvaluationSet set(videos, kVideos, folder / "videos");
  set.prepare(classes);
  const auto score = [&] { return set.score(model, config, [](std::int64_t, std::int64_t) {}); };

  EXPECT_LT(score().ap, 0.1) << "before training";
  for (int step = 0; step < config.train.steps; ++step) (void)trainer.step();
  const train::EvaluationScore learned = score();
  EXPECT_GE(learned.ap, 0.95);
  EXPECT_GE(learned.hota, 0.95);
  EXPECT_EQ(learned.id_switches, 0);
}

}  // namespace
}  // namespace visage
