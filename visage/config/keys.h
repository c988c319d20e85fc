#pragma once
// The one list of keys. Reading, overrides, documentation and writing all visit it.
#include "visage/config/config.h"
#include "visage/config/value.h"

namespace visage::config {

template <class C, class Visitor>
void visit_model_keys(C& model, Visitor&& visit) {
  visit("model.appearance_levels", model.appearance_levels, IntegerRange{1, 3},
        "Backbone features pooled for the appearance embedding: the first n of res3, res4, res5.");

  auto& backbone = model.backbone;
  visit("model.backbone.depth", backbone.depth, IntegerChoice{{18, 34, 50, 101}}, "Layers of the ResNet.");
  visit("model.backbone.width", backbone.width, IntegerRange{8, 512},
        "Channels of the stem and of the first stage's 3x3 convolutions.");

  auto& detector = model.detector;
  visit("model.detector.num_classes", detector.num_classes, IntegerRange{1, 10000},
        "Classes without \"no object\". Must be that of the weights.");
  visit("model.detector.num_queries", detector.num_queries, IntegerRange{1, 10000},
        "Object queries, and so the most objects a video can have.");
  visit("model.detector.hidden", detector.hidden, IntegerRange{32, 4096},
        "Channels of tokens, queries and mask features; a multiple of 32 and of heads.");
  visit("model.detector.heads", detector.heads, IntegerRange{1, 64}, "Attention heads.");
  visit("model.detector.levels", detector.levels, IntegerRange{1, 3},
        "Scales of the pixel decoder: the first n of res5, res4, res3.");
  visit("model.detector.points", detector.points, IntegerRange{1, 64},
        "Samples of deformable attention a head and level.");
  visit("model.detector.encoder_layers", detector.encoder_layers, IntegerRange{1, 64},
        "Layers of the deformable encoder.");
  visit("model.detector.encoder_ffn", detector.encoder_ffn, IntegerRange{1, 65536},
        "Hidden channels of the encoder's feed-forward networks.");
  visit("model.detector.decoder_layers", detector.decoder_layers, IntegerRange{1, 64},
        "Layers of the masked-attention decoder; there is one prediction head more.");
  visit("model.detector.decoder_ffn", detector.decoder_ffn, IntegerRange{1, 65536},
        "Hidden channels of the decoder's feed-forward networks.");
}

template <class C, class Visitor>
void visit_tracking_keys(C& tracking, Visitor&& visit) {
  visit("tracking.alpha", tracking.alpha, NumberRange{0, 1},
        "Weight of appearance in the similarity: (1 - alpha) cos(object) + alpha cos(appearance).");
  visit("tracking.window", tracking.window, IntegerRange{1, 1000}, "W, frames that the memory bank keeps.");
  visit("tracking.weighting", tracking.weighting,
        Choice<MemoryWeighting>{{{MemoryWeighting::paper, "paper"}, {MemoryWeighting::release, "release"}}},
        "How the memory weighs its frames: \"paper\" the newest most (Eq. 1), \"release\" the newest least (the "
        "released code).");
}

template <class C, class Visitor>
void visit_inference_keys(C& inference, Visitor&& visit) {
  visit("inference.shortest_edge", inference.shortest_edge, IntegerRange{1, 8192},
        "Pixels. Frames are resized so that their shorter side has this length.");
  visit("inference.longest_edge", inference.longest_edge, IntegerRange{1, 16384},
        "Pixels. Frames are resized less where their longer side would exceed this.");
  visit("inference.window", inference.window, IntegerRange{1, 1024},
        "Frames detected together; more need more memory and delay the output. Results do not depend on it.");
  visit(
      "inference.scores", inference.scores,
      Choice<pipeline::ScoreMode>{{{pipeline::ScoreMode::video, "video"}, {pipeline::ScoreMode::online, "online"}}},
      "\"video\": classes and scores from the whole video, at its end. \"online\": from the frames so far, with every "
      "frame.");
  visit("inference.top_k", inference.top_k, IntegerRange{0, 1000000},
        "Pairs of track and class reported for a video; 0 means as many as there are classes.");
  visit("inference.min_score", inference.min_score, NumberRange{0, 1},
        "Least score of the tracks listed and drawn in a frame. The result of the video has no threshold.");
}

/// Calls visit(path, field, rule, meaning) for every key, those of a section together and in the order of a file.
/// `C` is Config or const Config.
template <class C, class Visitor>
void visit_keys(C& config, Visitor&& visit) {
  visit("class_names", config.class_names, DistinctNames{},
        "Names of the classes in the order of their indices, for overlays and results. Empty: classes are called by "
        "their number.");
  visit_model_keys(config.model, visit);
  visit_tracking_keys(config.tracking, visit);
  visit_inference_keys(config.inference, visit);
}

}  // namespace visage::config
