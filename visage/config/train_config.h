#pragma once
#include "models/mask2former/targets.h"

#include <string>

namespace visage {

/// Where training clips come from.
enum class DataKind {
  synthetic,  // drawn on the fly by the pseudo generator; no files
  ytvis,      // a folder with instances.json (or annotations.json) and JPEGImages
};

struct TrainDataConfig {
  DataKind kind = DataKind::synthetic;
  std::string path;      // of a ytvis folder
  int range = 10;        // frames of a clip lie at most this far from its reference frame
  int least_edge = 320;  // pixels; the shorter side of a clip is drawn from least_edge, +32, ... most_edge
  int most_edge = 640;
  double crop_probability = 0.5;
  int width = 320, height = 192;          // of synthetic frames
  int videos = 10000, video_frames = 24;  // of the synthetic set
  int least_objects = 2, most_objects = 4;
};

/// How a model is trained; the defaults are the official recipe for YouTube-VIS 2019 with ResNet-50.
struct TrainConfig {
  int steps = 20000;
  int seed = 1;
  int clips = 16;  // a step
  int frames = 4;  // a clip
  double learning_rate = 1e-4;
  double backbone_factor = 0.1;  // of the learning rate, for the backbone
  double weight_decay = 0.05;    // none for norms and embeddings
  double clip_norm = 0.01;       // of all gradients together
  int decay_step = 15000;        // from here on the learning rate is a tenth
  int warmup_steps = 10;
  int num_points = 12544;  // a mask, for matching and mask losses
  AbsentLabels absent_labels = AbsentLabels::release;
  int log_every = 20;
  int checkpoint_every = 1000;
  int keep_checkpoints = 2;
  int workers = 1;  // threads that prepare clips
  TrainDataConfig data;
};

}  // namespace visage
