#pragma once

namespace visage::test {

/// A run of well under a second: everything is on, with the smallest useful sizes.
inline constexpr const char* kSmallTraining = R"(
[model.backbone]
depth = 18
width = 8
[model.detector]
num_classes = 8
num_queries = 6
hidden = 32
heads = 4
points = 2
encoder_layers = 1
encoder_ffn = 32
decoder_layers = 1
decoder_ffn = 32
[inference]
shortest_edge = 64
longest_edge = 96
[train]
steps = 12
clips = 1
frames = 2
accumulate = 2
learning_rate = 1e-3
backbone_factor = 1.0
ema_decay = 0.9
num_points = 64
log_every = 4
checkpoint_every = 2
eval_every = 5
[train.data]
range = 3
least_edge = 64
most_edge = 64
crop_probability = 0.0
width = 96
height = 64
video_frames = 4
[train.eval]
videos = 1
frames = 4
)";

}  // namespace visage::test
