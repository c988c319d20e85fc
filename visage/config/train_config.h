#pragma once
#include "models/mask2former/targets.h"
#include "visage/model/precision.h"

#include <string>
#include <vector>

namespace visage {

/// Where training clips come from.
enum class DataKind {
  synthetic,  // drawn on the fly by the pseudo generator; no files
  ytvis,      // videos in YouTube-VIS or OVIS format
  coco,       // images with COCO instances, each varied into a clip
};

/// Whether a clip may hold one frame twice, which the official code allows.
enum class Replacement { with, without };

/// Whether all clips of a batch come from one data set, as the official loader's batches do in practice, or each from
/// its own draw.
enum class Mixing { homogeneous, mixed };

/// A second data set, mixed into the first.
struct JointDataConfig {
  std::string path, images;      // as in TrainDataConfig; an empty path means there is none
  double ratio = 0.75;           // clips drawn from it for every clip of the first
  std::string classes = "name";  // how its classes become those of the first: visage/annotation/category_map.h
  Mixing mixing = Mixing::homogeneous;
};

/// What training does to the batch norms of the backbone.
enum class BackboneNorm {
  frozen,   // nothing, as the official recipes: they come with a pretrained backbone
  trained,  // scale and shift are trained; with random weights the statistics are those of the first batch
};

struct TrainDataConfig {
  DataKind kind = DataKind::synthetic;
  std::string path, images;  // annotation file or folder, and the folder of its images; docs/data.md has the layouts
  int range = 10;            // frames of a clip lie at most this far from its reference frame
  Replacement sampling = Replacement::with;
  int least_edge = 320;  // pixels; the shorter side of a clip is drawn from least_edge, +32, ... most_edge
  int most_edge = 640;
  int longest_edge = 768;
  double flip_probability = 0.5;
  double crop_probability = 0.5;
  int crop_least = 384, crop_most = 600;  // pixels, of the window's sides
  double rotation = 15;                   // degrees to either side, images only
  double hue = 0;                         // degrees to either side, every frame on its own
  bool copy_paste = false;                // images only
  int width = 320, height = 192;          // of synthetic frames
  int videos = 10000, video_frames = 24;  // of the synthetic set
  int least_objects = 2, most_objects = 4;
  JointDataConfig joint;
};

/// Which synthetic videos a run is evaluated on.
enum class EvaluationMode { track, swap, both };

/// What a model is evaluated on while it trains, if train.eval_every says so.
struct TrainEvalConfig {
  std::string path, images;  // as in TrainDataConfig, of a ytvis set; no path: synthetic videos, as train.data has them
  EvaluationMode mode = EvaluationMode::both;
  int videos = 10, frames = 24;  // of each synthetic set
  int seed = 1000003;            // not that of training
};

/// Which activations are computed again for the backward and not kept.
enum class Recompute { none, encoder, backbone, all };

/// How a model is trained; the defaults are the official recipe for YouTube-VIS 2019 with ResNet-50.
struct TrainConfig {
  int steps = 20000;
  int seed = 1;
  int clips = 16;      // a step
  int frames = 4;      // a clip
  int accumulate = 1;  // batches of `clips` whose gradients make one step
  double learning_rate = 1e-4;
  double backbone_factor = 0.1;     // of the learning rate, for the backbone
  std::vector<std::string> freeze;  // parameters that keep their values: beginnings of their names
  BackboneNorm backbone_norm = BackboneNorm::frozen;
  double weight_decay = 0.05;  // none for norms and embeddings
  double clip_norm = 0.01;     // of all gradients together
  int decay_step = 15000;      // from here on the learning rate is a tenth
  int warmup_steps = 10;
  Precision precision = Precision::f32;
  double ema_decay = 0;    // of the moving average of the weights; 0: none
  int num_points = 12544;  // a mask, for matching and mask losses
  AbsentLabels absent_labels = AbsentLabels::release;
  Recompute recompute = Recompute::none;
  int log_every = 20;
  int eval_every = 0;  // 0: never
  int checkpoint_every = 1000;
  int keep_checkpoints = 2;
  int workers = 1;  // threads that prepare clips
  TrainDataConfig data;
  TrainEvalConfig eval;
};

}  // namespace visage
