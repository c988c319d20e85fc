#pragma once
#include "ops/track/memory_weighting.h"

namespace visage {

using ops::MemoryWeighting;

enum class TrackerKind { visage, minvis, idol, ctvis, qdtrack };

/// What a query is compared by.
enum class Embedding {
  object,
  appearance,
  both,     // (1 - alpha) times the product of the object embeddings + alpha times that of the appearance embeddings
  decoder,  // the query as it leaves the decoder, before either embedding is made from it
};

enum class Solver {
  greedy,     // the detections choose in the order of their scores
  hungarian,  // the assignment of the greatest total
};

struct MinvisConfig {
  Embedding embedding = Embedding::decoder;
  Solver solver = Solver::hungarian;
  friend bool operator==(const MinvisConfig&, const MinvisConfig&) = default;
};

/// Of the trackers of IDOL and CTVIS, which differ in these numbers and in how a track remembers. The defaults are
/// IDOL's for YouTube-VIS.
struct BiSoftmaxConfig {
  Embedding embedding = Embedding::object;
  Solver solver = Solver::greedy;
  double least_score = 0.1;  // of a query that counts as a detection
  double nms_iou = 0.5;      // most mask IoU with a better detection; 1: duplicates stay
  double least_match = 0.5;  // bi-softmax of a detection and its track
  double birth_score = 0.2;  // least score of a detection that starts a track
  int memory = 3;            // embeddings that a track keeps
  int patience = 10;         // frames without a detection after which a track is forgotten
  int least_hits = 3;        // detections that keep a track from being taken for noise; 0: none is
  friend bool operator==(const BiSoftmaxConfig&, const BiSoftmaxConfig&) = default;
};

struct QdtrackConfig {
  Embedding embedding = Embedding::object;
  Solver solver = Solver::greedy;
  double least_score = 0.05;   // of a query that counts as a detection
  double keep_score = 0.5;     // least score of a detection that continues a track
  double birth_score = 0.8;    // least score of a detection that starts one
  double nms_iou = 0.7;        // most mask IoU with a better detection; 1: duplicates stay
  double low_score_iou = 0.3;  // the same for detections below keep_score, and for backdrops
  double least_match = 0.5;    // bi-softmax of a detection and its track
  double momentum = 0.8;       // share of the new embedding in that of a track
  int patience = 10;           // frames without a detection after which a track is forgotten
  int backdrop_frames = 1;     // for which detections that belong to no track are remembered
  friend bool operator==(const QdtrackConfig&, const QdtrackConfig&) = default;
};

struct TrackingConfig {
  TrackerKind tracker = TrackerKind::visage;
  double alpha = 0.75;  // weight of appearance against object similarity, 0 to 1
  int window = 5;       // W, frames a memory bank keeps; VISAGE only, as the weighting
  MemoryWeighting weighting = MemoryWeighting::paper;
  MinvisConfig minvis = {};
  BiSoftmaxConfig idol = {};
  BiSoftmaxConfig ctvis = {
      .least_score = 0.01, .nms_iou = 0.6, .least_match = 0.3, .birth_score = 0.01, .memory = 10, .patience = 21};
  QdtrackConfig qdtrack = {};
  friend bool operator==(const TrackingConfig&, const TrackingConfig&) = default;
};

}  // namespace visage
