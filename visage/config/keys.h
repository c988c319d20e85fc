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
  visit("model.detector.mode", detector.mode, Choice<Mode>{{{Mode::online, "online"}, {Mode::offline, "offline"}}},
        "\"online\": a query describes an object in one frame, and a tracker connects the frames. \"offline\": in all "
        "frames of a clip (Mask2Former-VIS); there is no appearance branch. Must be that of the weights.");
  visit("model.detector.num_classes", detector.num_classes, IntegerRange{1, 10000},
        "Classes without \"no object\". Must be that of the weights.");
  visit("model.detector.num_queries", detector.num_queries, IntegerRange{1, 10000},
        "Object queries: the most objects that a frame can have.");
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

inline Choice<Embedding> embedding_choice() {
  return {{{Embedding::object, "object"},
           {Embedding::appearance, "appearance"},
           {Embedding::both, "both"},
           {Embedding::decoder, "decoder"}}};
}

inline Choice<Solver> solver_choice() { return {{{Solver::greedy, "greedy"}, {Solver::hungarian, "hungarian"}}}; }

/// tracking.idol and tracking.ctvis.
template <class C, class Visitor>
void visit_bi_softmax_keys(const std::string& section, C& tracker, Visitor&& visit) {
  visit(section + ".embedding", tracker.embedding, embedding_choice(), "As in tracking.minvis.");
  visit(section + ".solver", tracker.solver, solver_choice(),
        "\"greedy\": detections choose their tracks in the order of their scores. \"hungarian\": the greatest sum of "
        "matches.");
  visit(section + ".least_score", tracker.least_score, NumberRange{0, 1},
        "A query whose class probability exceeds this is a detection.");
  visit(section + ".nms_iou", tracker.nms_iou, NumberRange{0, 1},
        "Detections whose masks overlap more than this with a better one are duplicates and dropped. 1: none is.");
  visit(section + ".least_match", tracker.least_match, NumberRange{0, 1},
        "A detection continues a track if their bi-softmax exceeds this.");
  visit(section + ".birth_score", tracker.birth_score, NumberRange{0, 1},
        "A detection without a track starts one if its class probability exceeds this.");
  visit(section + ".memory", tracker.memory, IntegerRange{1, 1000}, "Last embeddings that a track keeps.");
  visit(section + ".patience", tracker.patience, IntegerRange{1, 1000000},
        "Frames without a detection after which a track is forgotten.");
  visit(section + ".least_hits", tracker.least_hits, IntegerRange{0, 1000000},
        "Tracks with less detections that go unseen are noise and not reported. 0: none is.");
}

template <class C, class Visitor>
void visit_qdtrack_keys(C& tracker, Visitor&& visit) {
  visit("tracking.qdtrack.embedding", tracker.embedding, embedding_choice(), "As in tracking.minvis.");
  visit("tracking.qdtrack.solver", tracker.solver, solver_choice(), "As in tracking.idol.");
  visit("tracking.qdtrack.least_score", tracker.least_score, NumberRange{0, 1},
        "A query whose class probability exceeds this is a detection.");
  visit("tracking.qdtrack.keep_score", tracker.keep_score, NumberRange{0, 1},
        "A detection continues a track if its class probability exceeds this.");
  visit("tracking.qdtrack.birth_score", tracker.birth_score, NumberRange{0, 1},
        "A detection without a track starts one if its class probability exceeds this.");
  visit("tracking.qdtrack.nms_iou", tracker.nms_iou, NumberRange{0, 1},
        "Detections whose masks overlap more than this with a better one are duplicates and dropped. 1: none is.");
  visit("tracking.qdtrack.low_score_iou", tracker.low_score_iou, NumberRange{0, 1},
        "The same for detections below keep_score, and for backdrops.");
  visit("tracking.qdtrack.least_match", tracker.least_match, NumberRange{0, 1},
        "A detection belongs to a track if their bi-softmax exceeds this.");
  visit("tracking.qdtrack.momentum", tracker.momentum, NumberRange{0, 1},
        "Share of the new embedding in that of its track.");
  visit("tracking.qdtrack.patience", tracker.patience, IntegerRange{1, 1000000},
        "Frames without a detection after which a track is forgotten.");
  visit("tracking.qdtrack.backdrop_frames", tracker.backdrop_frames, IntegerRange{0, 1000},
        "Frames for which detections that belong to no track are remembered, so that no track takes what resembles "
        "them.");
}

template <class C, class Visitor>
void visit_tracking_keys(C& tracking, Visitor&& visit) {
  visit("tracking.tracker", tracking.tracker,
        Choice<TrackerKind>{{{TrackerKind::visage, "visage"},
                             {TrackerKind::minvis, "minvis"},
                             {TrackerKind::idol, "idol"},
                             {TrackerKind::ctvis, "ctvis"},
                             {TrackerKind::qdtrack, "qdtrack"}}},
        "Which tracker; docs/trackers.md explains them. Those other than \"visage\" have a section each.");
  visit("tracking.alpha", tracking.alpha, NumberRange{0, 1},
        "Weight of appearance in the similarity: (1 - alpha) cos(object) + alpha cos(appearance).");
  visit("tracking.window", tracking.window, IntegerRange{1, 1000}, "W, frames that the memory bank keeps.");
  visit("tracking.weighting", tracking.weighting,
        Choice<MemoryWeighting>{{{MemoryWeighting::paper, "paper"}, {MemoryWeighting::release, "release"}}},
        "How the memory weighs its frames: \"paper\" the newest most (Eq. 1), \"release\" the newest least (the "
        "released code).");
  visit("tracking.minvis.embedding", tracking.minvis.embedding, embedding_choice(),
        "What is compared: the object or the appearance embedding, both weighted by tracking.alpha, or the query as it "
        "leaves the decoder.");
  visit("tracking.minvis.solver", tracking.minvis.solver, solver_choice(),
        "\"greedy\": queries choose their tracks in the order of their scores. \"hungarian\": the greatest sum of "
        "similarities.");
  visit_bi_softmax_keys("tracking.idol", tracking.idol, visit);
  visit_bi_softmax_keys("tracking.ctvis", tracking.ctvis, visit);
  visit_qdtrack_keys(tracking.qdtrack, visit);
}

template <class C, class Visitor>
void visit_inference_keys(C& inference, Visitor&& visit) {
  visit("inference.shortest_edge", inference.shortest_edge, IntegerRange{1, 8192},
        "Pixels. Frames are resized so that their shorter side has this length.");
  visit("inference.longest_edge", inference.longest_edge, IntegerRange{1, 16384},
        "Pixels. Frames are resized less where their longer side would exceed this.");
  visit("inference.window", inference.window, IntegerRange{1, 1024},
        "Frames detected together; more need more memory and delay the output. Results do not depend on it.");
  visit("inference.in_flight", inference.in_flight, IntegerRange{1, 16},
        "Windows on their way at once, on a GPU: with 2 it works on one while the host makes the masks of the one "
        "before and reads the next, and every frame is told one window later.");
  visit("inference.chunk", inference.chunk, IntegerRange{1, 100000},
        "Frames that an offline model sees together; more need more memory and delay the output.");
  visit("inference.overlap", inference.overlap, IntegerRange{0, 50000},
        "Frames of a chunk that the one before has, too: there the objects of both are joined to tracks. No "
        "more than half of inference.chunk are taken.");
  visit(
      "inference.scores", inference.scores,
      Choice<pipeline::ScoreMode>{{{pipeline::ScoreMode::video, "video"}, {pipeline::ScoreMode::online, "online"}}},
      "\"video\": classes and scores from the whole video, at its end. \"online\": from the frames so far, with every "
      "frame.");
  visit("inference.top_k", inference.top_k, IntegerRange{0, 1000000},
        "Pairs of track and class reported for a video; 0 means as many as there are classes, or 10 with an "
        "offline model, as in the released codes.");
  visit("inference.min_score", inference.min_score, NumberRange{0, 1},
        "Least score of the tracks listed and drawn in a frame. The result of the video has no threshold.");
}

template <class C, class Visitor>
void visit_train_keys(C& train, Visitor&& visit) {
  visit("train.steps", train.steps, IntegerRange{1, 100000000}, "Optimizer steps of the whole run.");
  visit("train.seed", train.seed, IntegerRange{0, 2000000000},
        "Everything random follows from it: initial weights, clips, augmentation, sampled points.");
  visit("train.clips", train.clips, IntegerRange{1, 4096}, "Clips a batch.");
  visit("train.frames", train.frames, IntegerRange{2, 64}, "Frames a clip.");
  visit("train.accumulate", train.accumulate, IntegerRange{1, 65536},
        "Batches a step: it is that of one batch as large as all of them, in the memory of one.");
  visit("train.learning_rate", train.learning_rate, NumberRange{0, 1}, "Of AdamW, after the warm-up.");
  visit("train.backbone_factor", train.backbone_factor, NumberRange{0, 10},
        "The backbone learns at this share of the rate.");
  visit("train.freeze", train.freeze, DistinctNames{},
        "Parameters that keep their values: all whose names begin with one of these, e.g. \"backbone.\".");
  visit("train.backbone_norm", train.backbone_norm,
        Choice<BackboneNorm>{{{BackboneNorm::frozen, "frozen"}, {BackboneNorm::trained, "trained"}}},
        "Batch norms of the backbone. \"frozen\": left alone, as a pretrained backbone wants it. \"trained\": for a "
        "backbone that starts from random weights; the first batch gives the statistics, scale and shift are trained.");
  visit("train.weight_decay", train.weight_decay, NumberRange{0, 1}, "Of AdamW; none for norms and embeddings.");
  visit("train.clip_norm", train.clip_norm, NumberRange{1e-6, 1e6}, "Most norm of all gradients together.");
  visit("train.decay_step", train.decay_step, IntegerRange{1, 100000000},
        "From this step on the learning rate is a tenth.");
  visit("train.warmup_steps", train.warmup_steps, IntegerRange{0, 1000000},
        "Steps in which the learning rate grows to its value.");
  visit(
      "train.precision", train.precision,
      Choice<Precision>{{{Precision::f32, "f32"}, {Precision::tf32, "tf32"}, {Precision::bf16, "bf16"}}},
      "Arithmetic of convolutions and linear maps, forward and backward. \"tf32\" needs a GPU, \"bf16\" a GPU or a CPU "
      "with AMX or AVX512-bf16; weights, gradients, norms, softmax, losses and optimizer stay f32.");
  visit(
      "train.ema_decay", train.ema_decay, NumberRange{0, 0.999999},
      "Share of the moving average of the weights that a step keeps, e.g. 0.999; evaluation and model.safetensors use "
      "the average. 0: none.");
  visit("train.num_points", train.num_points, IntegerRange{16, 1000000},
        "Points a mask that the matching and the mask losses look at.");
  visit(
      "train.absent_labels", train.absent_labels,
      Choice<AbsentLabels>{{{AbsentLabels::release, "release"}, {AbsentLabels::fixed, "fixed"}}},
      "An object that is missing from a frame of its clip is trained as no object \"release\": in the whole clip (the "
      "released code), \"fixed\": in that frame. Of an offline model one that is missing from the last frame, "
      "\"release\": "
      "as no object, \"fixed\": as what it is.");
  visit("train.recompute", train.recompute,
        Choice<Recompute>{{{Recompute::none, "none"},
                           {Recompute::encoder, "encoder"},
                           {Recompute::backbone, "backbone"},
                           {Recompute::all, "all"}}},
        "Parts whose activations are computed twice and not kept: less memory, more time, the same bits.");
  visit("train.log_every", train.log_every, IntegerRange{1, 1000000}, "Steps between lines of the log.");
  visit("train.eval_every", train.eval_every, IntegerRange{0, 100000000}, "Steps between evaluations; 0: none.");
  visit("train.checkpoint_every", train.checkpoint_every, IntegerRange{1, 100000000}, "Steps between checkpoints.");
  visit("train.keep_checkpoints", train.keep_checkpoints, IntegerRange{1, 1000}, "Newest checkpoints that are kept.");
  visit("train.workers", train.workers, IntegerRange{1, 256}, "Threads that prepare clips.");
}

template <class C, class Visitor>
void visit_train_data_keys(C& data, Visitor&& visit) {
  visit("train.data.kind", data.kind,
        Choice<DataKind>{{{DataKind::synthetic, "synthetic"}, {DataKind::ytvis, "ytvis"}, {DataKind::coco, "coco"}}},
        "\"synthetic\": moving textured shapes, drawn on the fly. \"ytvis\": videos in YouTube-VIS or OVIS format. "
        "\"coco\": images with COCO instances, each varied into a clip.");
  visit("train.data.path", data.path, Text{},
        "Annotation file of a ytvis or coco set, or a folder with one; docs/data.md has the layouts.");
  visit("train.data.images", data.images, Text{},
        "Folder that its file names are relative to. Empty: it is found, in the layouts of the official sets.");
  visit("train.data.range", data.range, IntegerRange{1, 1000000},
        "Frames of a clip lie at most this far from its reference frame.");
  visit("train.data.sampling", data.sampling,
        Choice<Replacement>{{{Replacement::with, "with_replacement"}, {Replacement::without, "without_replacement"}}},
        "Whether a clip may hold one frame of its video twice; the official code lets it.");
  visit("train.data.least_edge", data.least_edge, IntegerRange{32, 8192},
        "Pixels. The shorter side of a clip is drawn from least_edge, least_edge + 32, ... most_edge.");
  visit("train.data.most_edge", data.most_edge, IntegerRange{32, 8192}, "Pixels; see least_edge.");
  visit("train.data.longest_edge", data.longest_edge, IntegerRange{32, 8192},
        "Pixels. Clips are resized less where their longer side would exceed this.");
  visit("train.data.flip_probability", data.flip_probability, NumberRange{0, 1},
        "Share of the clips that are mirrored left to right.");
  visit("train.data.crop_probability", data.crop_probability, NumberRange{0, 1},
        "Share of the clips that are cropped: the shorter side is scaled to 400, 500 or 600, then a window is taken, "
        "which moves through the clip.");
  visit(
      "train.data.crop_least", data.crop_least, IntegerRange{1, 8192},
      "Pixels. The sides of the window are drawn from crop_least to crop_most, or are those of the frame if shorter.");
  visit("train.data.crop_most", data.crop_most, IntegerRange{1, 8192}, "Pixels; see crop_least.");
  visit("train.data.rotation", data.rotation, NumberRange{0, 180},
        "Degrees. The frames of clips made of images are turned by up to this, either way. Videos are not.");
  visit("train.data.hue", data.hue, NumberRange{0, 180},
        "Degrees. The colours of every frame are turned by up to this on the colour wheel, either way, each frame on "
        "its own: colour then does not say who is who in another frame.");
  visit("train.data.copy_paste", data.copy_paste, Boolean{},
        "Whether clips made of images get the objects of a second image pasted in.");
  visit("train.data.width", data.width, IntegerRange{32, 8192}, "Pixels of a synthetic frame.");
  visit("train.data.height", data.height, IntegerRange{32, 8192}, "Pixels of a synthetic frame.");
  visit("train.data.videos", data.videos, IntegerRange{1, 100000000}, "Different synthetic videos.");
  visit("train.data.video_frames", data.video_frames, IntegerRange{3, 100000}, "Frames of a synthetic video.");
  visit("train.data.least_objects", data.least_objects, IntegerRange{1, 64}, "Objects of a synthetic video.");
  visit("train.data.most_objects", data.most_objects, IntegerRange{1, 64}, "Objects of a synthetic video.");

  auto& joint = data.joint;
  visit("train.data.joint.path", joint.path, Text{},
        "A second data set, ytvis or coco, that is mixed into the first. Empty: none.");
  visit("train.data.joint.images", joint.images, Text{}, "Folder of its images; empty: it is found.");
  visit("train.data.joint.ratio", joint.ratio, NumberRange{1e-6, 1e6},
        "Clips drawn from it for every clip of the first set.");
  visit("train.data.joint.classes", joint.classes, Text{},
        "How its classes become those of the first set; objects of other classes are left out. \"name\": equal names; "
        "\"coco_to_ytvis_2019\", \"coco_to_ytvis_2021\", \"coco_to_ovis\": the official tables.");
  visit("train.data.joint.mixing", joint.mixing,
        Choice<Mixing>{{{Mixing::homogeneous, "homogeneous"}, {Mixing::mixed, "mixed"}}},
        "\"homogeneous\": all clips of a step are of one set, as with the official loader. \"mixed\": each is drawn "
        "for itself.");
}

template <class C, class Visitor>
void visit_train_eval_keys(C& eval, Visitor&& visit) {
  visit("train.eval.path", eval.path, Text{},
        "Folder or annotation file of the ytvis set to evaluate on. Empty: synthetic videos like those of train.data.");
  visit("train.eval.images", eval.images, Text{}, "Folder of its images; empty: it is found.");
  visit("train.eval.mode", eval.mode,
        Choice<EvaluationMode>{
            {{EvaluationMode::track, "track"}, {EvaluationMode::swap, "swap"}, {EvaluationMode::both, "both"}}},
        "Synthetic videos whose objects keep their paths, exchange them once, or a set of each.");
  visit("train.eval.videos", eval.videos, IntegerRange{1, 100000}, "Videos of a synthetic set.");
  visit("train.eval.frames", eval.frames, IntegerRange{3, 100000}, "Frames of a synthetic video.");
  visit("train.eval.seed", eval.seed, IntegerRange{0, 2000000000},
        "Of the synthetic videos; another than train.seed, whose videos are trained on.");
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
  visit_train_keys(config.train, visit);
  visit_train_data_keys(config.train.data, visit);
  visit_train_eval_keys(config.train.eval, visit);
}

}  // namespace visage::config
