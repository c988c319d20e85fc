#include "visage/experiments/sighting.h"

#include "ops/track/class_score.h"
#include "tensor/error.h"
#include "tensor/transfer.h"
#include "visage/tracking/visage_tracker.h"

namespace visage::experiments {
namespace {

constexpr double kLeastIou = 0.5;

int shown_object(const annotation::Rle& mask, std::span<const std::optional<annotation::Rle>> truth) {
  int best = -1;
  double best_iou = kLeastIou;
  for (std::size_t object = 0; object < truth.size(); ++object) {
    if (!truth[object]) continue;
    const double iou = annotation::iou(mask, *truth[object]);
    if (iou < best_iou || (best >= 0 && iou == best_iou)) continue;
    best = static_cast<int>(object);
    best_iou = iou;
  }
  return best;
}

}  // namespace

Sighting sight(const pipeline::QueryFrame& frame, std::span<const std::optional<annotation::Rle>> truth) {
  const std::size_t queries = frame.run_lengths.size();
  // Copies: a sighting outlives the detection.
  const auto host = [](const Tensor& rows) { return rows ? to_device(rows, {}) : Tensor{}; };
  Sighting sighting{{host(frame.queries.logits), host(frame.queries.object), host(frame.queries.appearance),
                     host(frame.queries.decoder)},
                    std::vector<int>(queries, -1),
                    std::vector<int>(truth.size(), -1)};
  const Tensor scores = ops::max_class_score(sighting.queries.logits);
  for (std::size_t query = 0; query < queries; ++query) {
    if (frame.run_lengths[query].empty()) continue;
    const int object =
        shown_object(annotation::rle_from_string(frame.size.height, frame.size.width, frame.run_lengths[query]), truth);
    sighting.object_of_query[query] = object;
    if (object < 0) continue;
    int& best = sighting.query_of_object[object];
    if (best < 0 || scores.data<float>()[query] > scores.data<float>()[best]) best = static_cast<int>(query);
  }
  return sighting;
}

FoundAgain& FoundAgain::operator+=(const FoundAgain& other) {
  objects += other.objects;
  kept += other.kept;
  exchanged += other.exchanged;
  return *this;
}

FoundAgain find_again(const Sighting& before, const Sighting& after, double alpha) {
  check<ShapeError>(before.query_of_object.size() == after.query_of_object.size(),
                    "find_again: the frames must list the same objects; got ", before.query_of_object.size(), " and ",
                    after.query_of_object.size());
  tracking::VisageTracker tracker({.alpha = alpha, .window = 1});
  static_cast<void>(tracker.step(before.queries));
  const std::vector<int> query_of_track = tracker.step(after.queries).query_of_track;
  FoundAgain found;
  for (std::size_t object = 0; object < before.query_of_object.size(); ++object) {
    const int track = before.query_of_object[object];  // in the first frame, track q has query q
    if (track < 0 || after.query_of_object[object] < 0) continue;
    ++found.objects;
    const int shown = after.object_of_query[query_of_track[track]];
    found.kept += shown == static_cast<int>(object);
    found.exchanged += shown >= 0 && shown != static_cast<int>(object);
  }
  return found.objects < 2 ? FoundAgain{} : found;
}

}  // namespace visage::experiments
