#include "tests/train/small_model.h"

#include "nn/init/init.h"

namespace visage::test {

Config small_config(int width, int edge) {
  Config config;
  config.model.backbone = {.depth = 18, .width = width};
  config.model.detector = {.num_classes = 8,
                           .num_queries = 8,
                           .hidden = 4 * width,
                           .heads = 4,
                           .levels = 3,
                           .points = 2,
                           .encoder_layers = 1,
                           .encoder_ffn = 8 * width,
                           .decoder_layers = 3,
                           .decoder_ffn = 8 * width};
  config.train.clips = 2;
  config.train.frames = 2;
  config.train.learning_rate = 1e-3;
  config.train.backbone_factor = 1;
  config.train.clip_norm = 1;
  TrainDataConfig& data = config.train.data;
  data.least_edge = data.most_edge = edge;
  data.crop_probability = 0;
  data.width = edge * 3 / 2;
  data.height = edge;
  return config;
}

std::unique_ptr<Model> fresh_model(const Config& config) {
  auto model = std::make_unique<Model>(config.model);
  const Mask2FormerConfig& detector = config.model.detector;
  nn::initialise(model->params(), {.seed = 1, .heads = detector.heads, .points = detector.points});
  return model;
}

}  // namespace visage::test
